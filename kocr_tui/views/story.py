"""Events told as lines of the log: only those worth a line."""

from dataclasses import dataclass
from pathlib import PurePath

from core.events import (
    AnyEvent,
    CertificateVoided,
    CheckpointSaved,
    DataOpened,
    Finished,
    Log,
    ProbeFinished,
    RanOutOfMemory,
    RequestSeen,
    ResumeRefused,
    RowSetAside,
    StateChanged,
    TrainingStarted,
    Tuned,
    Validated,
    WorkerStarted,
)
from kocr_tui import format as fmt
from kocr_tui.faults import Fault, Level, fault_in_words, level_of
from kocr_tui.strings import say
from kocr_tui.words import changes_in_words, difference_in_words, last_word


@dataclass(frozen=True)
class Line:
    """One line of the log; ``text`` is fit to print."""

    time: float
    level: Level
    text: str


def line_of(event: AnyEvent) -> Line | None:
    """The line that tells an event, or None for what the panes show anyway."""
    if isinstance(event, Fault):
        return Line(event.time, level_of(event), fault_in_words(event))
    return _line(event)


def _line(event: AnyEvent) -> Line | None:
    match event:
        case Log():
            return Line(event.time, event.level, fmt.visible(event.message))
        case RowSetAside():
            file = fmt.visible(PurePath(event.file).name)
            reason = fmt.visible(event.reason)
            key = "story.set_aside" if event.replaced_by is None else "story.replaced"
            text = say(key, file=file, row=event.row, reason=reason, taken=event.replaced_by)
            return Line(event.time, "warning", text)
        case CertificateVoided() | ResumeRefused():
            return Line(event.time, "warning", _changed(event))
        case RanOutOfMemory():
            text = say(
                f"story.memory.{event.remedy}",
                step=event.step,
                before=event.budget_before,
                after=event.budget_after,
            )
            return Line(event.time, "warning", text)
        case Finished():
            level: Level = "error" if event.state in {"failed", "died"} else "info"
            return Line(event.time, level, last_word(event))
        case _:
            told = _plain(event)
            return None if told is None else Line(event.time, "info", told)


def _changed(event: CertificateVoided | ResumeRefused) -> str:
    if isinstance(event, CertificateVoided):
        return say("story.voided", changes=changes_in_words(event.changes))
    told = "; ".join(map(difference_in_words, event.differences))
    return say("story.refused", differences=told)


def _plain(event: AnyEvent) -> str | None:
    told: str | None = None
    match event:
        case StateChanged():
            told = say("story.state", state=say(f"state.{event.state}"))
        case WorkerStarted():
            key = "story.worker" if event.attempt == 1 else "story.worker_again"
            device = fmt.visible(event.card)
            told = say(key, pid=event.pid, device=device, attempt=event.attempt)
        case DataOpened():
            told = say("story.data", train=event.train_rows, validation=event.validation_rows)
        case ProbeFinished():
            verdict = say("probe.fits" if event.fits else "probe.not")
            budget = fmt.pixels(event.setup.max_pixels)
            told = say("story.probe", probe=event.probe, budget=budget, verdict=verdict)
        case Tuned():
            told = say("story.tuned", budget=fmt.pixels(event.choice.max_pixels))
        case TrainingStarted():
            told = say("story.training", step=event.step, steps=event.steps)
        case CheckpointSaved():
            key = "story.best_checkpoint" if event.best else "story.checkpoint"
            told = say(key, step=event.step, seconds=fmt.duration(event.seconds))
        case RequestSeen():
            told = say("story.request", what=say(f"request.{event.request}"))
        case Validated() if event.scope != "rolling":
            accuracy = fmt.percent(event.scores.normalized)
            told = say("story.scores", scope=say(f"scope.{event.scope}"), accuracy=accuracy)
    return told
