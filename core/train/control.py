"""What is asked of the worker while it works: requests from control.json, and signals."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Literal

from core.control_file import (
    LEFTOVER_SECONDS,
    SURVIVES,
    ControlFileError,
    ControlRequest,
    read_request,
)
from core.errors import KocrError, StoppedError
from core.event_log import EventReader, EventWriter
from core.events import Log, Request, RequestSeen, State, StateChanged
from core.run_dir import RunDir
from core.train.cards.watch import CardWatch
from core.train.signals import StopSignals

_PAUSE_POLL_SECONDS = 0.25


class AbortedError(KocrError):
    """The run leaves at once; what the last checkpoint holds is kept."""

    exit_code = 3


class Control:
    """Obeys requests at safe points: ``check`` is called wherever the worker could leave.

    Each of them raises GpuLostError, too, once ``card`` has failed.
    """

    def __init__(
        self, run: RunDir, events: EventWriter, signals: StopSignals | None = None
    ) -> None:
        self._run = run
        self._events = events
        self._last_id: str | None = None
        self._pending: set[Request] = set()
        self._signals = signals or StopSignals()
        self._wake = self._signals.wake
        self._warned: str | None = None
        self._state: State = "queued"
        self.card: CardWatch | None = None

    def enter(self, state: State) -> None:
        """Tells that the run is in another state now."""
        self._state = state
        self._events.write(StateChanged(state=state))

    def settle(self, began: float) -> None:
        """Obeys or expires what was asked before ``began`` (seconds since 1970), and tells which.

        See core.control_file for the rule.
        """
        asked = self._read()
        if asked is None:
            return
        events = EventReader(self._run.events_file).read()
        seen = {event.id for event in events if isinstance(event, RequestSeen)}
        if asked.id not in seen and asked.time >= began:
            return
        self._last_id = asked.id
        if asked.id not in seen:
            self._settle_left(asked, began)
        # Standing there it would keep weaker ones from being asked.
        with contextlib.suppress(OSError):
            self._run.control_file.unlink()

    def _settle_left(self, asked: ControlRequest, began: float) -> None:
        left = "was left by a worker that is no more"
        if asked.request in SURVIVES and began - asked.time <= LEFTOVER_SECONDS:
            self._log("info", f"the request to {asked.request} {left}: it is obeyed now")
            self._take_in(asked)
        else:
            self._log("info", f"the request to {asked.request} {left}: it has expired")

    def check(self) -> None:
        """Raises StoppedError or AbortedError if that was asked; waits while paused."""
        self._poll()
        if "pause" in self._pending:
            self._events.write(StateChanged(state="paused"))
            while "pause" in self._pending and not self._pending & {"stop", "abort"}:
                self._wake.wait(_PAUSE_POLL_SECONDS)
                self._poll()
            self._pending.discard("pause")
            self._events.write(StateChanged(state=self._state))
        self.check_stop()

    def check_abort(self) -> None:
        """Raises AbortedError if that was asked; for places where a stop has to wait."""
        self._poll()
        if "abort" in self._pending:
            raise AbortedError("aborted on request; the last checkpoint is kept")

    def wait(self, seconds: float) -> None:
        """Lets ``seconds`` pass; raises as ``check`` does."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            self._wake.wait(min(left, _PAUSE_POLL_SECONDS))
            self.check()

    def take(self, request: Request) -> bool:
        """Whether ``request`` was asked for since the last time it was taken."""
        wanted = request in self._pending
        self._pending.discard(request)
        return wanted

    def confirm_card(self) -> None:
        """Raises GpuLostError if the run's card has failed until now: what it gave is worthless."""
        if self.card is not None:
            self.card.confirm()

    def check_stop(self) -> None:
        """Raises as ``check`` does but never waits; for places where a pause has to wait."""
        self.check_abort()
        if "stop" in self._pending:
            raise StoppedError("stopped on request")

    def _poll(self) -> None:
        if self.card is not None:
            self.card.check()
        if self._signals.asked is not None:
            self._pending.add("stop")
        asked = self._read()
        if asked is not None and asked.id != self._last_id:
            self._last_id = asked.id
            self._take_in(asked)

    def _take_in(self, asked: ControlRequest) -> None:
        if asked.request == "continue":
            self._pending.discard("pause")
        else:
            self._pending.add(asked.request)
        self._events.write(RequestSeen(id=asked.id, request=asked.request))

    def _read(self) -> ControlRequest | None:
        """The request that stands there; a file that isn't one is warned of once."""
        try:
            return read_request(self._run.control_file)
        except ControlFileError as error:
            if str(error) != self._warned:
                self._warned = str(error)
                self._log("warning", str(error))
            return None

    def _log(self, level: Literal["info", "warning"], message: str) -> None:
        self._events.write(Log(level=level, message=message))


class Heartbeat:
    """Shows life once a second by the time stamp of a file, from a thread of its own.

    A disk that doesn't take it is tried again: the worker may outlive what ails it.
    """

    def __init__(self, touch: Callable[[], None], seconds: float = 1.0) -> None:
        self._touch = touch
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._show()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._seconds):
            self._show()

    def _show(self) -> None:
        with contextlib.suppress(OSError):
            self._touch()
