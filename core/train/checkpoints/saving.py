"""When training is saved, and what happens when the disk doesn't take it."""

import contextlib
import shutil
import time
from pathlib import Path

import msgspec

from core.errors import KocrError
from core.events import CheckpointSaved, SaveFailed
from core.train.checkpoints import checkpoint, manifest
from core.train.checkpoints.checkpoint import Best, SaveError, TrainerState
from core.train.checkpoints.going_back import last_good
from core.train.checkpoints.retention import Retention
from core.train.job import Job
from core.train.learner import Learner

RETRY_SECONDS = 60.0
_MIB = 1 << 20


class Saver:
    """Saves by the clock, by steps and on request, and tries again where that fails.

    ``best`` is the best that lies on disk; ``failing`` says that the last try was in vain.
    """

    def __init__(self, job: Job, learner: Learner) -> None:
        self._job = job
        self._learner = learner
        self._folder = job.run.checkpoints
        self._retention = Retention(self._folder, job.config.train.keep_every)
        self._saved: tuple[int, Best | None] | None = None
        self._saved_step = 0
        self._needed = learner.checkpoint_bytes()
        self._failure: SaveError | None = None
        self._retry_at = 0.0
        self._asked = False
        self.best: Best | None = None
        self.start_clock()

    @property
    def failing(self) -> bool:
        return self._failure is not None

    def start_clock(self) -> None:
        """Training begins here: the minutes until the next save count from now on."""
        self._saved_at = time.perf_counter()

    def read_newest(self) -> tuple[TrainerState | None, Path | None, list[str]]:
        """Has the learner go back to the newest checkpoint that verifies and fits.

        Returns its state and path, and a line for each newer one, or best one, that was passed
        over. Raises KocrError if there are checkpoints and none is of use.
        """
        path, passed_over = checkpoint.newest(self._folder, self._learner.read)
        if path is None:
            return None, None, passed_over
        state = self._state_of(path)
        return state, path, [*passed_over, *self._stand_at(state, path)]

    def last_good(self) -> tuple[TrainerState | None, Path | None]:
        """The newest checkpoint of a good step; None where training begins anew.

        Raises KocrError if there are checkpoints and none of a good step.
        """
        path = last_good(self._folder)
        return (self._state_of(path) if path is not None else None), path

    def go_back_to(self, state: TrainerState | None, path: Path | None) -> None:
        """Training stands at what ``last_good`` gave, and what was saved since then goes."""
        to_step = state.step if state is not None else 0
        for later in checkpoint.in_order(self._folder):
            if checkpoint.step_of(later) > to_step and checkpoint.verify(later) is None:
                checkpoint.remove(later)
        self._stand_at(state, path)

    def _state_of(self, path: Path) -> TrainerState:
        return checkpoint.under(checkpoint.read_state(path), self._job.keys)

    def _stand_at(self, state: TrainerState | None, path: Path | None) -> list[str]:
        """Returns a line if the best is no longer to be had."""
        lost: list[str] = []
        self.best, self._saved, self._saved_step = None, None, 0
        if state is None or path is None:
            return lost
        self._retention.trust(path)
        self.best, self._saved_step = state.best, state.step
        if state.best is not None and state.best.step != state.step:
            best = checkpoint.path_of(self._folder, state.best.step)
            if (problem := checkpoint.verify(best)) is not None:
                self.best = None
                lost.append(f"{best.name}, the best, is passed over: {problem}; it's chosen anew")
        self._saved = state.step, self.best
        return lost

    def due(self, step: int) -> bool:
        """Whether it's time to save, or to try again, or that was asked for since the last save."""
        now = time.perf_counter()
        self._asked = self._job.control.take("checkpoint") or self._asked
        if self._asked:
            return True
        if self._failure is not None:
            return now >= self._retry_at
        train = self._job.config.train
        steps = train.checkpoint_steps
        in_time = now - self._saved_at >= train.checkpoint_minutes * 60
        return in_time or (steps is not None and step - self._saved_step >= steps)

    def save(self, state: TrainerState, *, again: bool = True) -> bool:
        """Saves unless this step is saved with the same best; tells how it went.

        Returns whether the state lies on disk; if not, training can go on: nothing was lost.
        ``again`` says whether it will be tried again then.
        """
        self._asked = False
        if self._saved == (state.step, state.best):
            return True
        self._job.control.enter("saving")
        started = time.perf_counter()
        try:
            path = self._write(state)
        except SaveError as error:
            self._tell_failed(state.step, error, RETRY_SECONDS if again else None)
            return False
        self._settle(state, path)
        self._job.events.write(
            CheckpointSaved(
                step=state.step,
                path=str(path.relative_to(self._job.run.path)),
                seconds=time.perf_counter() - started,
                best=state.best is not None and state.best.step == state.step,
            )
        )
        return True

    def save_patiently(self, state: TrainerState) -> None:
        """Saves what nothing comes after; waits as long as it takes.

        Raises StoppedError or AbortedError if that is asked meanwhile.
        """
        control = self._job.control
        while not self.save(state):
            while time.perf_counter() < self._retry_at and not control.take("checkpoint"):
                control.wait(0.25)

    def save_before(self, end: KocrError, state: TrainerState) -> None:
        """Saves since the run is about to end.

        Raises KocrError that names the last good checkpoint if the disk doesn't take it.
        """
        if self.save(state, again=False):
            return
        found, _passed_over = checkpoint.newest(self._folder)
        then = f"resume goes on from {found.name}" if found else "no checkpoint was saved before"
        raise KocrError(f"{end}; {self._failure}; {then}; make room on the disk first") from end

    def _write(self, state: TrainerState) -> Path:
        def write(folder: Path) -> None:
            self._learner.write(folder)
            kept = msgspec.structs.replace(state, event=self._job.events.seq)
            (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(kept))

        checkpoint.sweep(self._folder)
        free = self._free_bytes()
        if free is not None and free < self._needed:
            raise SaveError(
                f"{self._folder}: can't save the checkpoint of step {state.step}: it takes "
                f"{self._needed / _MIB:,.1f} MiB, and {free / _MIB:,.1f} MiB are free"
            )
        return checkpoint.save(self._folder, state.step, write)

    def _settle(self, state: TrainerState, path: Path) -> None:
        self._failure = None
        self.best = state.best
        self._saved = state.step, state.best
        self._saved_step = state.step
        self._saved_at = time.perf_counter()
        self._retention.trust(path)
        # The checkpoint is safe; a disk that fails only now is the next save's trouble.
        with contextlib.suppress(OSError, ValueError):
            self._needed = manifest.read_manifest(path).bytes
            self._retention.apply(state.step)

    def _tell_failed(self, step: int, error: SaveError, retry_s: float | None) -> None:
        self._failure = error
        self._retry_at = time.perf_counter() + RETRY_SECONDS
        self._job.events.write(
            SaveFailed(
                step=step, message=str(error), free_bytes=self._free_bytes(), retry_s=retry_s
            )
        )

    def _free_bytes(self) -> int | None:
        """The room on the run's disk; None where that can't be told."""
        try:
            there = self._folder if self._folder.exists() else self._job.run.path
            return shutil.disk_usage(there).free
        except OSError:
            return None
