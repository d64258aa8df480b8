"""What is asked of the worker while it works: by requests and by signals."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Literal

from core.control_file import LEFTOVER_SECONDS, SURVIVES, ControlRequest
from core.errors import KocrError, StoppedError
from core.event_log import EventReader, EventWriter
from core.events import Log, Request, RequestSeen, State, StateChanged
from core.run_dir import RunDir
from core.train.cards.watch import CardWatch
from core.train.inbox import Inbox
from core.train.signals import StopSignals
from core.visible_text import visible

_PAUSE_POLL_SECONDS = 0.25
_LEAVING: frozenset[Request] = frozenset({"stop", "abort"})


class AbortedError(KocrError):
    """The run leaves at once; what the last checkpoint holds is kept."""

    exit_code = 3


class Control:
    """Obeys requests at safe points: ``check`` is called wherever the worker could leave.

    Each of them raises GpuLostError, too, once ``card`` has failed. Requests are for the one worker
    that holds ``run``, and are removed as they are heard: others give None and hear signals only.
    """

    def __init__(
        self, run: RunDir | None, events: EventWriter, signals: StopSignals | None = None
    ) -> None:
        self._run = run
        self._events = events
        self._inbox: Inbox | None = None
        if run is not None:
            self._inbox = Inbox(run.control_folder, self._warn)
            self._inbox.make()
        self._left: frozenset[str] = frozenset()
        self._left_before = 0.0
        self._seen: frozenset[str] = frozenset()
        self._pending: set[Request] = set()
        self._signals = signals or StopSignals()
        self._wake = self._signals.wake
        self._state: State = "queued"
        self.card: CardWatch | None = None

    def enter(self, state: State) -> None:
        """Tells that the run is in another state now."""
        self._state = state
        self._events.write(StateChanged(state=state))

    def settle(self, began: float) -> None:
        """What waits here and was asked before ``began`` (seconds since 1970) is a leftover.

        See core.control_file for the rule.
        """
        if self._run is None or self._inbox is None or not (left := self._inbox.names()):
            return
        events = EventReader(self._run.events_file).read()
        self._seen = frozenset(event.id for event in events if isinstance(event, RequestSeen))
        self._left, self._left_before = frozenset(left), began

    def check(self) -> None:
        """Raises StoppedError or AbortedError if that was asked; waits while paused."""
        self._poll()
        if "pause" in self._pending and not self._pending & _LEAVING:
            self._events.write(StateChanged(state="paused"))
            while "pause" in self._pending and not self._pending & _LEAVING:
                self._wake.wait(_PAUSE_POLL_SECONDS)
                self._poll()
            self._pending.discard("pause")
            self._events.write(StateChanged(state=self._state))
        self._leave_if_asked()

    def check_abort(self) -> None:
        """Raises AbortedError if that was asked; for places where a stop has to wait."""
        self._poll()
        self._leave_at_once_if_asked()

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
        self._poll()
        self._leave_if_asked()

    def _poll(self) -> None:
        if self.card is not None:
            self.card.check()
        if self._signals.asked is not None:
            self._pending.add("stop")
        if self._inbox is not None:
            self._empty(self._inbox)

    def _empty(self, inbox: Inbox) -> None:
        for name, asked in inbox.requests():
            if name in self._left:
                self._settle(asked)
            else:
                self._take_in(asked)
            inbox.remove(name)

    def _settle(self, asked: ControlRequest) -> None:
        """Obeys or expires what stood there when this worker began, and tells which."""
        if asked.id in self._seen:
            return
        if asked.time >= self._left_before:
            self._take_in(asked)
            return
        left = "was left by a worker that is no more"
        if asked.request in SURVIVES and self._left_before - asked.time <= LEFTOVER_SECONDS:
            self._log("info", f"the request to {asked.request} {left}: it is obeyed now")
            self._take_in(asked)
        else:
            self._log("info", f"the request to {asked.request} {left}: it has expired")

    def _take_in(self, asked: ControlRequest) -> None:
        if asked.request == "continue":
            self._pending.discard("pause")
        else:
            self._pending.add(asked.request)
        self._events.write(RequestSeen(id=asked.id, request=asked.request))

    def _leave_if_asked(self) -> None:
        self._leave_at_once_if_asked()
        if "stop" in self._pending:
            self._give_up_the_rest("stop")
            raise StoppedError("stopped on request")

    def _leave_at_once_if_asked(self) -> None:
        if "abort" in self._pending:
            self._give_up_the_rest("abort")
            raise AbortedError("aborted on request; the last checkpoint is kept")

    def _give_up_the_rest(self, stronger: Request) -> None:
        """Tells what was asked for and won't be done since the worker leaves first."""
        if given_up := sorted(self._pending - _LEAVING):
            what = ", ".join(given_up)
            self._log("info", f"given up, since {stronger} was asked for, too: {what}")
            self._pending.difference_update(given_up)

    def _warn(self, line: str) -> None:
        self._log("warning", visible(line))

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
