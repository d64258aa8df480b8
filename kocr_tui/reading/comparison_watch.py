"""The thread that reads the runs which are compared, and posts them when one has changed."""

import statistics
import threading
from collections.abc import Sequence
from dataclasses import replace

from core.config import RunConfig
from core.errors import UsageError
from core.events import FINAL_STATES, AnyEvent, Step, Validated
from core.run_dir import RunDir
from core.run_state import RunState
from core.run_watch import RunWatch
from kocr_tui.messages import RunsCompared
from kocr_tui.reading.folder_watch import Post
from kocr_tui.views.comparison import Compared, Stage

COMPARE_SECONDS = 1.0


class ComparedReader:
    """Reads one run; ``compared`` is the run as it was when ``look`` last found it changed."""

    def __init__(self, run: RunDir) -> None:
        self.compared = Compared(run.id)
        self._watch = RunWatch(run)
        self._config, self._problem = _config_of(run)
        self._batch: int | None = None
        self._peak: int | None = None
        self._ended = False

    def look(self) -> bool:
        """Reads what is new; True where the run has changed.

        A run that has ended is not read again until a worker takes it up.
        """
        run = self._watch.run
        if not run.path.is_dir():
            return self._take(replace(self.compared, gone=True))
        if self._ended and self._watch.worker_pid() is None:
            return False
        try:
            self._watch.catch_up(self._hear)
            live, slow = self._watch.live_state(self._hear), self._watch.is_slow()
        except OSError as error:
            return self._take(replace(self.compared, trouble=error.strerror or str(error)))
        self._ended = live in FINAL_STATES
        return self._take(replace(self._snapshot(self._watch.state), live=live, slow=slow))

    def _take(self, compared: Compared) -> bool:
        changed = compared != self.compared
        self.compared = compared
        return changed

    def _hear(self, event: AnyEvent) -> None:
        if isinstance(event, Step):
            self._batch = self._batch or event.samples
            self._peak = max(self._peak or 0, event.peak_bytes)

    def _snapshot(self, state: RunState) -> Compared:
        rates = [step.samples_per_s for step in state.steps]
        return Compared(
            id=self._watch.run.id,
            config=self._config,
            problem=self._problem,
            unread=len(self._watch.problems),
            worker=state.worker,
            data=state.data,
            choice=state.tuned.choice if state.tuned else None,
            batch=self._config.train.batch if self._config else self._batch,
            step=state.step,
            steps=state.training.steps if state.training else 0,
            rate=statistics.median(rates) if rates else None,
            peak_bytes=self._peak,
            started_at=state.started_at,
            updated_at=state.updated_at,
            losses=tuple(state.history.losses()),
            rolling=tuple(state.rolling),
            stages=_stages(state),
        )


def follow_compared(
    runs: Sequence[RunDir], stop: threading.Event, seen: threading.Event, post: Post
) -> None:
    """Looks at the runs once a second until ``stop``; posts them where one has changed.

    It rests while ``seen`` is not set.
    """
    readers = [ComparedReader(run) for run in runs]
    posted = False
    while not stop.is_set():
        if seen.is_set():
            changed = [reader.look() for reader in readers if not stop.is_set()]
            if any(changed) or not posted:
                post(RunsCompared(tuple(reader.compared for reader in readers)))
                posted = True
        stop.wait(COMPARE_SECONDS)


def _config_of(run: RunDir) -> tuple[RunConfig | None, str]:
    """The run's config, or None and why it can't be read (the file, the key and the fault)."""
    try:
        return run.config(), ""
    except UsageError as error:
        return None, str(error).removeprefix(f"{run.path}/")


def _stages(state: RunState) -> dict[Stage, Validated]:
    found: dict[Stage, Validated | None] = {
        "final": state.final,
        "rolling": state.rolling[-1] if state.rolling else None,
        "best": state.best,
        "baseline": state.baseline,
    }
    return {stage: scores for stage, scores in found.items() if scores is not None}
