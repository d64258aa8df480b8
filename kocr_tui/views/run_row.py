"""One run as a row of the home screen."""

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path, PurePath

from core.config import RunConfig
from core.evaluate.text import Score
from core.events import Scope, State, Step, Validated
from core.history import History, Thinned
from core.run_dir import RunDir
from core.run_state import RunState
from core.run_watch import RunWatch, config_or_none

_STAMP = "%Y%m%d-%H%M%S"
_STAMP_LENGTH = 15
_RUNNING: frozenset[State] = frozenset({"training", "validating", "saving", "paused"})
Signature = tuple[int, int, int] | None


@dataclass(frozen=True)
class RunRow:
    """What the list of runs shows of one run; times are seconds since 1970.

    ``normalized`` is the best normalised accuracy that can be told honestly, and ``scope`` the pass
    that it is of: the final one, whose rows chose nothing; before that the pass on the selection
    rows that chose the best checkpoint, which flatters a little since it's the highest of several;
    before that the newest rolling one, never the luckiest. What the model read before training
    doesn't count.
    """

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
    started_at: float | None = None
    profile: str = ""
    scope: Scope | None = None
    epochs: int = 0


class RowMaker:
    """Keeps of one run what its row needs, and makes the row again and again.

    A run that has ended costs a look at the times of its files until they change.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._watch = RunWatch(run)
        self._watch.state = _newest_only()
        self._config: RunConfig | None = None
        self._read: tuple[Signature, Signature] = (None, None)
        self._row: RunRow | None = None

    def row(self) -> RunRow:
        """The row as it is now, after reading what is new; raises OSError if it can't be read."""
        config_file, events_file = self._read
        now = (_signature(self._run.config_file), _signature(self._run.events_file))
        if self._row is not None and now == self._read and self._watch.state.finished is not None:
            return self._row
        if now[0] != config_file:
            self._config = config_or_none(self._run)
        if now[1] != events_file:
            self._watch.catch_up()
        self._read = now
        self._row = self._make()
        return self._row

    def _make(self) -> RunRow:
        live = self._watch.live_state()
        state, config = self._watch.state, self._config
        last = state.steps[-1] if state.steps else None
        best = best_scores(state)
        profile = config.device.profile if config else ""
        return RunRow(
            id=self._run.id,
            name=config.name if config else self._run.id,
            state=live,
            slow=self._watch.is_slow(),
            model=PurePath(config.model.path).name if config else "",
            data=_data_name(config.data.train) if config else "",
            step=state.step,
            steps=state.training.steps if state.training else 0,
            samples_per_s=last.samples_per_s if last else None,
            eta_s=last.eta_s if last and live in _RUNNING else None,
            normalized=best.scores.normalized if best else None,
            updated_at=state.updated_at,
            checkpoint_step=state.checkpoint_step,
            started_at=started_at(self._run.id) or state.started_at,
            profile=state.worker.profile if state.worker else profile,
            scope=best.scope if best else None,
            epochs=state.trained_epochs,
        )


def best_scores(state: RunState) -> Validated | None:
    """The scores that a row shows: final, else those of the best checkpoint, else rolling."""
    return state.final or state.best or (state.rolling[-1] if state.rolling else None)


def started_at(run_id: str) -> float | None:
    """When a run was made, from the local time that its id begins with."""
    try:
        return time.mktime(time.strptime(run_id[:_STAMP_LENGTH], _STAMP))
    except (ValueError, OverflowError):
        return None


class _NewestStep(History):
    """Keeps the last step alone: a hundred rows would else hold half a million steps."""

    def add(self, step: Step) -> None:
        self.steps = [step]

    def back_to(self, step: int) -> None:
        self.steps = [kept for kept in self.steps if kept.step <= step]


def _newest_only() -> RunState:
    return RunState(
        history=_NewestStep(),
        rolled=Thinned(1),
        predictions=deque(maxlen=0),
        set_aside=deque(maxlen=0),
        log=deque(maxlen=0),
    )


def _signature(path: Path) -> Signature:
    """Differs when a file was written or replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _data_name(train: str) -> str:
    """The file without ``.jsonl``, after the folder that tells it from others: ``signs/train``."""
    path = PurePath(train)
    name = path.name.removesuffix(".jsonl")
    return f"{path.parent.name}/{name}" if path.parent.name else name
