"""What is asked of the worker while it works: requests from control.json, and signals."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from core.errors import KocrError, StoppedError
from core.event_log import EventWriter
from core.events import Request, RequestSeen, State, StateChanged
from core.run_dir import RunDir

_PAUSE_POLL_SECONDS = 0.25
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class AbortedError(KocrError):
    """The run leaves at once; what the last checkpoint holds is kept."""

    exit_code = 3


class Control:
    """Obeys requests at safe points: ``check`` is called wherever the worker could leave."""

    def __init__(self, run: RunDir, events: EventWriter) -> None:
        self._run = run
        self._events = events
        self._last_id: str | None = None
        self._pending: set[Request] = set()
        self._wake = threading.Event()
        self._state: State = "queued"

    def enter(self, state: State) -> None:
        """Tells that the run is in another state now."""
        self._state = state
        self._events.write(StateChanged(state=state))

    def install_signal_handlers(self) -> None:
        """SIGTERM, SIGINT and SIGHUP ask for a stop; a second one leaves at once."""
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if "stop" in self._pending:
            raise AbortedError(f"left at once on a second {signal.Signals(number).name}")
        self._pending.add("stop")
        self._wake.set()

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
        if "abort" in self._pending:
            raise AbortedError("aborted on request; the last checkpoint is kept")
        if "stop" in self._pending:
            raise StoppedError("stopped on request")

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

    def _poll(self) -> None:
        asked = self._run.pending_request()
        if asked is None or asked.id == self._last_id:
            return
        self._last_id = asked.id
        if asked.request == "continue":
            self._pending.discard("pause")
        else:
            self._pending.add(asked.request)
        self._events.write(RequestSeen(id=asked.id, request=asked.request))


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
