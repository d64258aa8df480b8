"""One run as a row of the home screen."""

from dataclasses import dataclass
from pathlib import PurePath

from core.config import RunConfig
from core.evaluate.text import Score
from core.events import State
from core.run_state import RunWatch, config_or_none


@dataclass(frozen=True)
class RunRow:
    """What the list of runs shows of one run."""

    id: str
    name: str
    state: State
    slow: bool
    model: str
    data: str
    step: int
    steps: int
    samples_per_s: float | None
    eta_s: float | None
    normalized: Score | None
    updated_at: float | None
    checkpoint_step: int | None = None


class RowMaker:
    """Keeps one run's watch and config, and makes its row again and again."""

    def __init__(self, watch: RunWatch) -> None:
        self._watch = watch
        self._config: RunConfig | None = config_or_none(watch.run)

    def row(self) -> RunRow:
        """The row as it is now, after reading what is new."""
        self._watch.catch_up()
        live = self._watch.live_state()
        state, config = self._watch.state, self._config
        scores = state.latest_scores
        last = state.steps[-1] if state.steps else None
        running = last is not None and live in {"training", "validating", "saving", "paused"}
        return RunRow(
            id=self._watch.run.id,
            name=config.name if config else self._watch.run.id,
            state=live,
            slow=self._watch.is_slow(),
            model=PurePath(config.model.path).name if config else "",
            data=_data_name(config.data.train) if config else "",
            step=state.step,
            steps=state.training.steps if state.training else 0,
            samples_per_s=last.samples_per_s if last else None,
            eta_s=last.eta_s if last and running else None,
            normalized=scores.normalized if scores else None,
            updated_at=state.updated_at,
            checkpoint_step=state.checkpoint.step if state.checkpoint else None,
        )


def _data_name(train: str) -> str:
    path = PurePath(train)
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name
