"""Looking after a run from outside: what its events add up to, and whether its worker lives."""

import time
from collections.abc import Callable

from core.config import RunConfig
from core.errors import UsageError
from core.event_log import EventReader
from core.events import FINAL_STATES, AnyEvent, State
from core.run_dir import RunDir
from core.run_state import RunState

SLOW_AFTER_SECONDS = 15.0


class HeartbeatWatch:
    """How long a run's worker has shown no life, whatever is done to the clock meanwhile.

    The wall clock tells at the first look alone; after that it's counted from the last change.
    """

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.monotonic) -> None:
        self.run = run
        self._clock = clock
        self._stamp: int | None = None
        self._shown_at = 0.0

    def age(self) -> float | None:
        """Seconds since the worker last showed life; None if it never did."""
        stamp = self.run.heartbeat_stamp()
        if stamp is None:
            return None
        now = self._clock()
        if stamp != self._stamp:
            first, self._stamp = self._stamp is None, stamp
            self._shown_at = now - ((self.run.heartbeat_age() or 0.0) if first else 0.0)
        return now - self._shown_at


class RunWatch:
    """A run's folder, its events so far and whether its worker lives."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.state = RunState()
        self._reader: EventReader = run.events()
        self._heartbeat = HeartbeatWatch(run)

    @property
    def problems(self) -> list[str]:
        """Lines of the events file that could not be read."""
        return self._reader.problems

    @property
    def newer_lines(self) -> int:
        """How many lines of the events file a newer version wrote, as far as one can tell."""
        return self._reader.newer_lines

    def catch_up(self, hear: Callable[[AnyEvent], object] | None = None) -> None:
        """Reads and applies what is new without keeping it; ``hear`` gets each event after that."""
        for event in self._reader.read():
            self.state.apply(event)
            if hear is not None:
                hear(event)

    def poll(self) -> list[AnyEvent]:
        """Reads and applies what is new, and returns it."""
        events: list[AnyEvent] = []
        self.catch_up(events.append)
        return events

    def worker_pid(self) -> int | None:
        """The live worker's process id, or None."""
        return self.run.worker_pid()

    def heartbeat_age(self) -> float | None:
        """Seconds since the worker last showed life; None if it never did."""
        return self._heartbeat.age()

    def is_slow(self) -> bool:
        """A worker that lives but has not shown life for a while."""
        age = self.heartbeat_age()
        return self.worker_pid() is not None and (age is None or age > SLOW_AFTER_SECONDS)

    def live_state(self, hear: Callable[[AnyEvent], object] | None = None) -> State:
        """The state to show: a run with no worker and no last word has died.

        ``hear`` gets the events that had to be read to tell.
        """
        state = self.state.state
        if self.state.finished is not None or state in FINAL_STATES:
            return state
        if self.worker_pid() is not None:
            return state
        if self.state.worker is None:
            return "queued" if self._is_fresh() else "died"
        self.catch_up(hear)
        return self.state.state if self.state.finished is not None else "died"

    def _is_fresh(self) -> bool:
        age = self.run.age()
        return age is not None and age < SLOW_AFTER_SECONDS


def watch(run: RunDir) -> RunWatch:
    """A watch that has read all there is."""
    watched = RunWatch(run)
    watched.catch_up()
    return watched


def config_or_none(run: RunDir) -> RunConfig | None:
    """The run's config, or None when it can't be read (the folder may be from a newer version)."""
    try:
        return run.config()
    except UsageError:
        return None


def has_further_epochs(run: RunDir, trained: int) -> bool:
    """Whether the config was given more epochs than the run has been ``trained`` for."""
    config = config_or_none(run)
    return config is not None and 0 < trained < config.train.epochs
