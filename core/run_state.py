"""What a run's events add up to: the state that the console, `status` and `runs` show."""

from collections import deque
from dataclasses import dataclass, field

from core.evaluate.text import Scores
from core.events import (
    AnyEvent,
    CertificateVoided,
    CheckpointSaved,
    DataOpened,
    Finished,
    Log,
    Planned,
    Predicted,
    Prediction,
    ProbeFinished,
    ProbeStarted,
    RequestSeen,
    ResumeRefused,
    RolledBack,
    RowSetAside,
    State,
    StateChanged,
    Step,
    TrainingStarted,
    Tuned,
    Validated,
    WorkerStarted,
)
from core.history import History, Thinned
from core.run_faults import RunFaults

KEPT_PREDICTIONS = 200
KEPT_LINES = 500
KEPT_SCORES = 2048


@dataclass
class RunState:
    """A fold over a run's events in bounded memory; ``apply`` takes them in order.

    Long runs are thinned: ``history`` and ``rolling`` keep some thousand steps and scores, ``log``
    and ``set_aside`` the newest. ``checkpoint_step`` is where a resume goes on, None for a fresh
    start. ``voided`` says why it is tuned anew, ``refused`` why the last worker didn't go on.
    ``state`` is the last that the worker told; ``live_state`` adds whether it still lives.
    """

    state: State = "queued"
    worker: WorkerStarted | None = None
    data: DataOpened | None = None
    planned: Planned | None = None
    probing: ProbeStarted | None = None
    probes: list[ProbeFinished] = field(default_factory=list)
    tuned: Tuned | None = None
    voided: CertificateVoided | None = None
    training: TrainingStarted | None = None
    history: History = field(default_factory=History)
    rolled: Thinned[Validated] = field(default_factory=lambda: Thinned(KEPT_SCORES))
    baseline: Validated | None = None
    selection: list[Validated] = field(default_factory=list)
    final: Validated | None = None
    predictions: deque[Prediction] = field(default_factory=lambda: deque(maxlen=KEPT_PREDICTIONS))
    predicted: Predicted | None = None
    checkpoint_step: int | None = None
    faults: RunFaults = field(default_factory=RunFaults)
    set_aside: deque[RowSetAside] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    log: deque[Log] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    finished: Finished | None = None
    refused: ResumeRefused | None = None
    seen_requests: set[str] = field(default_factory=set)
    started_at: float | None = None
    updated_at: float | None = None
    _begun: int = 0

    def apply(self, event: AnyEvent) -> None:  # noqa: PLR0912 - one line a kind reads best flat
        """Takes the next event."""
        self.updated_at = event.time
        self.faults.apply(event)
        match event:
            case Step():
                self.history.add(event)
            case WorkerStarted():
                self._worker_started(event)
            case StateChanged():
                self._state_changed(event)
            case DataOpened():
                self.data = event
            case RowSetAside():
                self.set_aside.append(event)
            case Planned():
                self.planned = event
            case ProbeStarted():
                self.probing = event
            case ProbeFinished():
                self.probing = None
                self.probes.append(event)
            case Tuned():
                self.tuned = event
                self.voided = None
            case CertificateVoided():
                self.voided = event
            case TrainingStarted():
                self._training_started(event)
            case Predicted():
                self.predicted = event
                self.predictions.extend(event.predictions)
            case Validated():
                self._validated(event)
            case CheckpointSaved():
                self.checkpoint_step = event.step
            case ResumeRefused():
                self.refused = event
            case RolledBack():
                self._back_to(event.to_step)
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
        self.finished = self.refused = None
        self.probing = None
        self.started_at = self.started_at or event.time
        if self.tuned is None:
            self.probes.clear()

    def _state_changed(self, event: StateChanged) -> None:
        """A worker that tunes anew has no use for what another one found out."""
        if event.state == "tuning" and self.state != "paused":
            self.planned = self.tuned = None
            self.probes.clear()
        self.state = event.state

    def _training_started(self, event: TrainingStarted) -> None:
        """A resume goes back to its checkpoint: what a dead worker did after it is done again."""
        self.training = event
        self._back_to(event.step)

    def _back_to(self, step: int) -> None:
        """Forgets what was told of the steps after ``step``, which are done again."""
        self._begun = step
        self.checkpoint_step = step or None
        self.history.back_to(step)
        self.rolled.keep(lambda scores: scores.step <= step)
        self.selection = [scores for scores in self.selection if scores.step <= step]

    def _validated(self, event: Validated) -> None:
        match event.scope:
            case "baseline":
                self.baseline = event
            case "rolling":
                self.rolled.add(event)
            case "selection":
                self.selection.append(event)
            case "final":
                self.final = event

    @property
    def trained_epochs(self) -> int:
        """For how many epochs the run has been or is being trained, 0 where that never began."""
        return self.training.epochs if self.training else 0

    @property
    def steps(self) -> list[Step]:
        """The steps that are kept, the last one always among them."""
        return self.history.steps

    @property
    def rolling(self) -> list[Validated]:
        """The rolling scores that are kept, the newest always among them."""
        return self.rolled.items

    @property
    def step(self) -> int:
        """The last optimizer step that was done."""
        return max(self._begun, self.steps[-1].step) if self.steps else self._begun

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
