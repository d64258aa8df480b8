"""Reads a run's folder in a thread, and posts what is new to its screen."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from core.events import AnyEvent
from core.hardware.nvml import Monitor
from core.run_watch import RunWatch
from kocr_tui.messages import RunNews
from kocr_tui.reading.folder_watch import Post
from kocr_tui.reading.others_on_card import OthersOnCard
from kocr_tui.reading.plan_watch import PlanWatch
from kocr_tui.reading.surroundings import Lookout, ReadCards, no_cards
from kocr_tui.views.run_view import Pulse, RunView

RUN_SECONDS = 0.5
TAIL_LINES = 4
_TAIL_BYTES = 4096


class RunFeed:
    """Hands a run's events from the reading thread to the screen, none lost, none twice.

    The first look folds the whole past into a view of its own, which ``opened`` hands over once;
    later events are kept for ``take``.
    """

    def __init__(self, view: RunView) -> None:
        self.run = view.run
        self._lookout = Lookout(view.run)
        self._watch = RunWatch(view.run)
        self._plan = PlanWatch(view.run)
        self._others = OthersOnCard()
        self._lock = threading.Lock()
        self._view: RunView | None = view
        self._events: list[AnyEvent] = []
        self._pulse = Pulse("queued")
        self._looked = False

    def look(self, read_cards: ReadCards = no_cards) -> bool:
        """Reads what is new; True where the screen should take it.

        ``read_cards`` gives the cards that the run may be on, and is asked every few seconds.
        """
        fresh: list[AnyEvent] = []
        hear = fresh.append
        if not self._looked and self._view is not None:
            hear = self._view.fold
        self._watch.catch_up(hear)
        pulse = self._feel(hear, read_cards)
        with self._lock:
            news = bool(fresh) or pulse != self._pulse or not self._looked
            self._events += fresh
            self._pulse = pulse
            self._looked = True
        return news

    def opened(self) -> RunView | None:
        """The view with the run's past, once it has been read; None after it was handed over."""
        with self._lock:
            if not self._looked:
                return None
            view, self._view = self._view, None
            return view

    def take(self) -> tuple[list[AnyEvent], Pulse]:
        """The events since the last call, and the newest pulse."""
        with self._lock:
            events, self._events = self._events, []
            return events, self._pulse

    def _feel(self, hear: Callable[[AnyEvent], object], read_cards: ReadCards) -> Pulse:
        watch = self._watch
        live = watch.live_state(hear)
        pid = watch.worker_pid()
        slow = watch.is_slow()
        ended_badly = live in {"died", "failed"}
        return Pulse(
            live=live,
            slow=slow,
            heartbeat_age=watch.heartbeat_age() if slow else None,
            pid=pid,
            gone=not watch.run.path.is_dir(),
            log_tail=_tail(watch.run.log_file) if ended_badly else (),
            problems=tuple(watch.problems),
            newer_lines=watch.newer_lines,
            around=self._lookout.look(read_cards if self._on_card() else no_cards),
            plan=self._plan.read(),
            others_bytes=self._others.read(pid, self._uuid()) if self._finds_what_fits() else None,
        )

    def _on_card(self) -> bool:
        worker = self._watch.state.worker
        return worker is not None and worker.device == "cuda"

    def _uuid(self) -> str | None:
        worker = self._watch.state.worker
        return next(iter(worker.cards), None) if worker is not None else None

    def _finds_what_fits(self) -> bool:
        """Whether it matters who else is on the card."""
        return self._on_card() and self._watch.state.training is None

    def close(self) -> None:
        """Lets the card go."""
        self._others.close()


def follow_run(feed: RunFeed, stop: threading.Event, post: Post) -> None:
    """Looks at a run twice a second until ``stop``."""
    # A driver may take seconds to start, which the first look must not wait for.
    feed.look()
    post(RunNews())
    with Monitor() as monitor, contextlib.closing(feed):
        while not stop.wait(RUN_SECONDS):
            if feed.look(monitor.cards):
                post(RunNews())


def _tail(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(line for line in text.splitlines() if line.strip())[-TAIL_LINES:]
