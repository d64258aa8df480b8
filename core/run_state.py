"""What a run's events add up to: the state that the console, `status` and `runs` show."""

from collections import deque
from dataclasses import dataclass, field

from core.config import RunConfig
from core.errors import UsageError
from core.evaluate.text import Scores
from core.event_log import EventReader
from core.events import (
    FINAL_STATES,
    AnyEvent,
    CheckpointSaved,
    DataOpened,
    Finished,
    Log,
    Predicted,
    Prediction,
    ProbeFinished,
    ProbeStarted,
    RequestSeen,
    RowSetAside,
    State,
    StateChanged,
    Step,
    TrainingStarted,
    Tuned,
    Validated,
    WorkerStarted,
)
from core.run_dir import RunDir

SLOW_AFTER_SECONDS = 15.0
KEPT_PREDICTIONS = 200


@dataclass
class RunState:
    """A fold over a run's events; ``apply`` takes them in order.

    ``state`` is the last that the worker told; ``live_state`` adds whether it still lives.
    """

    state: State = "queued"
    worker: WorkerStarted | None = None
    data: DataOpened | None = None
    probing: ProbeStarted | None = None
    probes: list[ProbeFinished] = field(default_factory=list)
    tuned: Tuned | None = None
    training: TrainingStarted | None = None
    steps: list[Step] = field(default_factory=list)
    rolling: list[Validated] = field(default_factory=list)
    baseline: Validated | None = None
    selection: list[Validated] = field(default_factory=list)
    final: Validated | None = None
    predictions: deque[Prediction] = field(default_factory=lambda: deque(maxlen=KEPT_PREDICTIONS))
    predicted: Predicted | None = None
    checkpoint: CheckpointSaved | None = None
    set_aside: list[RowSetAside] = field(default_factory=list)
    log: list[Log] = field(default_factory=list)
    finished: Finished | None = None
    seen_requests: set[str] = field(default_factory=set)
    started_at: float | None = None
    updated_at: float | None = None

    def apply(self, event: AnyEvent) -> None:  # noqa: PLR0912 - one line a kind reads best flat
        """Takes the next event."""
        self.updated_at = event.time
        match event:
            case WorkerStarted():
                self._worker_started(event)
            case StateChanged():
                self.state = event.state
            case DataOpened():
                self.data = event
            case RowSetAside():
                self.set_aside.append(event)
            case ProbeStarted():
                self.probing = event
            case ProbeFinished():
                self.probing = None
                self.probes.append(event)
            case Tuned():
                self.tuned = event
            case TrainingStarted():
                self._training_started(event)
            case Step():
                self.steps.append(event)
            case Predicted():
                self.predicted = event
                self.predictions.extend(event.predictions)
            case Validated():
                self._validated(event)
            case CheckpointSaved():
                self.checkpoint = event
            case RequestSeen():
                self.seen_requests.add(event.id)
            case Log():
                self.log.append(event)
            case Finished():
                self.finished = event
                self.state = event.state

    def _worker_started(self, event: WorkerStarted) -> None:
        self.worker = event
        self.state = "queued"
        self.finished = None
        self.probing = None
        self.started_at = self.started_at or event.time
        if self.tuned is None:
            self.probes.clear()

    def _training_started(self, event: TrainingStarted) -> None:
        """A resume goes back to its checkpoint: what a dead worker did after it is done again."""
        self.training = event
        self.steps = [step for step in self.steps if step.step <= event.step]
        self.rolling = [scores for scores in self.rolling if scores.step <= event.step]
        self.selection = [scores for scores in self.selection if scores.step <= event.step]

    def _validated(self, event: Validated) -> None:
        match event.scope:
            case "baseline":
                self.baseline = event
            case "rolling":
                self.rolling.append(event)
            case "selection":
                self.selection.append(event)
            case "final":
                self.final = event

    @property
    def step(self) -> int:
        """The last optimizer step that was done."""
        if self.steps:
            return self.steps[-1].step
        return self.training.step if self.training else 0

    @property
    def best(self) -> Validated | None:
        """The pass on the fixed subset that chose the best checkpoint."""
        return next((scores for scores in reversed(self.selection) if scores.best), None)

    @property
    def latest_scores(self) -> Scores | None:
        """The scores to show in one line: final, else rolling, else baseline."""
        for scores in (self.final, self.rolling[-1] if self.rolling else None, self.baseline):
            if scores is not None:
                return scores.scores
        return None


class RunWatch:
    """A run's folder, its events so far and whether its worker lives."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.state = RunState()
        self._reader: EventReader = run.events()

    @property
    def problems(self) -> list[str]:
        """Lines of the events file that could not be read."""
        return self._reader.problems

    def poll(self) -> list[AnyEvent]:
        """Reads and applies what is new, and returns it."""
        events = self._reader.poll()
        for event in events:
            self.state.apply(event)
        return events

    def worker_pid(self) -> int | None:
        """The live worker's process id, or None."""
        return self.run.worker_pid()

    def is_slow(self) -> bool:
        """A worker that lives but has not shown life for a while."""
        age = self.run.heartbeat_age()
        return self.worker_pid() is not None and (age is None or age > SLOW_AFTER_SECONDS)

    def live_state(self) -> State:
        """The state to show: a run with no worker and no last word has died."""
        state = self.state.state
        if self.state.finished is not None or state in FINAL_STATES:
            return state
        if self.worker_pid() is not None:
            return state
        if self.state.worker is None:
            return "queued" if self._is_fresh() else "died"
        self.poll()
        return self.state.state if self.state.finished is not None else "died"

    def _is_fresh(self) -> bool:
        age = self.run.age()
        return age is not None and age < SLOW_AFTER_SECONDS


def watch(run: RunDir) -> RunWatch:
    """A watch that has read all there is."""
    watched = RunWatch(run)
    watched.poll()
    return watched


def config_or_none(run: RunDir) -> RunConfig | None:
    """The run's config, or None when it can't be read (the folder may be from a newer version)."""
    try:
        return run.config()
    except UsageError:
        return None
