"""What the widgets of a run are shown: the folded events, its pulse, and the time."""

from collections import deque
from dataclasses import dataclass, field

from core.config import RunConfig
from core.events import AnyEvent, Request, State, StateChanged, Step
from core.run_dir import RunDir
from core.run_state import RunState
from kocr_tui.reading.plan_watch import NO_PLAN, PlanNews
from kocr_tui.reading.surroundings import Surroundings
from kocr_tui.strings import say
from kocr_tui.views.story import Line, line_of

KEPT_LINES = 500
RECENT_STEPS = 64
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Pulse:
    """Whether a run lives, what lies beside its events, and what is left of one that doesn't.

    ``others_bytes`` is what others have of the card, None where that isn't told or no matter.
    """

    live: State
    slow: bool = False
    heartbeat_age: float | None = None
    pid: int | None = None
    gone: bool = False
    log_tail: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    plan: PlanNews = NO_PLAN
    others_bytes: int | None = None
    newer_lines: int = 0
    around: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True)
class Asked:
    """A request that was written to the run's folder, and when."""

    request: Request
    id: str
    at: float


@dataclass
class RunView:
    """A run as the screen knows it; ``take`` adds what a watch has read."""

    run: RunDir
    config: RunConfig | None
    now: float
    state: RunState = field(default_factory=RunState)
    pulse: Pulse = field(default_factory=lambda: Pulse("queued"))
    asked: Asked | None = None
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    line_count: int = 0
    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    _told_state: State | None = None

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.run.id

    @property
    def live(self) -> State:
        """The state to show."""
        return self.pulse.live

    def take(self, events: list[AnyEvent], pulse: Pulse) -> None:
        """Folds new events in, in order."""
        for event in events:
            self.fold(event)
        self.pulse = pulse
        if self.asked is not None and self.asked.id in self.state.seen_requests:
            self.asked = None

    def fold(self, event: AnyEvent) -> None:
        """Folds one event in."""
        self.state.apply(event)
        if isinstance(event, Step):
            self.recent.append(event)
            return
        if (line := line_of(event)) is not None and not self._is_routine(event):
            self.lines.append(line)
            self.line_count += 1

    def _is_routine(self, event: AnyEvent) -> bool:
        """Saving, validating and going back to training happen all night: no news."""
        if not isinstance(event, StateChanged):
            return False
        routine = event.state in {"saving", "validating", self._told_state}
        if not routine:
            self._told_state = event.state
        return routine

    def asked_line(self) -> str | None:
        """What was asked and not yet answered, and why no answer may come."""
        if self.asked is None:
            return None
        what = say(f"request.{self.asked.request}")
        if self.pulse.pid is None:
            return say("asked.nobody", what=what)
        if self.now - self.asked.at >= ANSWER_SECONDS:
            return say("asked.late", what=what, seconds=round(self.now - self.asked.at))
        return say("asked.waiting", what=what)
