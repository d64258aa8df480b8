"""Following a run in plain lines, where there is no terminal to draw on."""

import signal
import sys
import threading
from types import FrameType

from core.errors import GpuLostError, KocrError
from core.events import (
    AnyEvent,
    CertificateVoided,
    CheckpointSaved,
    DataOpened,
    Finished,
    Log,
    ModelOpened,
    Planned,
    Predicted,
    ProbeFinished,
    ProbeStarted,
    RanOutOfMemory,
    ResumeRefused,
    RowSetAside,
    Step,
    TrainingStarted,
    Tuned,
    Validated,
    WorkerStarted,
)
from core.run_dir import RunDir
from core.run_watch import RunWatch
from kocr_tui import format as fmt
from kocr_tui.asking import ask, told_otherwise
from kocr_tui.faults import Fault, fault_in_words, level_of
from kocr_tui.strings import say
from kocr_tui.words import changes_in_words, difference_in_words, last_word

_POLL_SECONDS = 0.3
_LINE_SECONDS = 5.0
_LOG_LINES = 3


def follow(watch: RunWatch) -> int:
    """Prints what happens from now on until the worker leaves; returns its exit code.

    The first Ctrl+C (or SIGTERM) asks the worker to stop, the second to abort; a lost terminal
    (SIGHUP) ends only this view. ``watch`` must have read the events of earlier workers already.
    Raises KocrError if the worker dies without a word.
    """
    wake = threading.Event()
    asked: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        print(_asked_to_leave(watch.run, at_once=len(asked) > 1), file=sys.stderr)

    before = [
        (number, signal.signal(number, on_signal)) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        return _follow(watch, wake)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _asked_to_leave(run: RunDir, *, at_once: bool) -> str:
    """Asks, and returns the line that says so; a signal's handler must not raise."""
    try:
        asked = ask(run, "abort" if at_once else "stop")
    except KocrError as error:
        return str(error)
    return told_otherwise(run, asked) or say("plain.aborting" if at_once else "plain.stopping")


def _follow(watch: RunWatch, wake: threading.Event) -> int:
    printer = _Printer(watch.run.id)
    while True:
        alive = watch.worker_pid() is not None
        for event in watch.poll():
            printer.show(event)
            if isinstance(event, Finished):
                return event.exit_code
        if not alive:
            raise KocrError(died(watch))
        wake.wait(_POLL_SECONDS)


def died(watch: RunWatch) -> str:
    """One line on a worker that left without a word, with the end of its log."""
    try:
        text = watch.run.log_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    last = " / ".join(fmt.visible(line) for line in text.strip().splitlines()[-_LOG_LINES:])
    return say("plain.died", run=fmt.visible(watch.run.id), log=last or "-")


class _Printer:
    """Turns events into lines; what comes often is thinned to a line every few seconds."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._line_at = 0.0

    def show(self, event: AnyEvent) -> None:
        line = _fault_line(event) if isinstance(event, Fault) else self._line(event)
        if line is not None:
            print(line, flush=True)

    def _line(self, event: AnyEvent) -> str | None:  # noqa: PLR0911, PLR0912 - one line a kind
        match event:
            case WorkerStarted():
                return say(
                    "plain.started",
                    device=fmt.visible(event.card),
                    memory=fmt.size(event.capacity_bytes),
                )
            case ModelOpened():
                return say(
                    "plain.model",
                    path=fmt.visible(event.path),
                    weights=fmt.visible(event.weights),
                    size=fmt.size(event.weight_bytes),
                )
            case DataOpened():
                return say(
                    "plain.data",
                    train=event.train_rows,
                    validation=event.validation_rows,
                    aside=event.set_aside,
                )
            case RowSetAside():
                return say(
                    "plain.row" if event.replaced_by is None else "plain.row_replaced",
                    file=fmt.visible(event.file),
                    row=event.row,
                    reason=fmt.visible(event.reason),
                    taken=event.replaced_by,
                )
            case Planned() if event.done:
                return say("plain.planned", done=event.done, total=event.total)
            case ProbeStarted() | ProbeFinished() | Tuned():
                return _tuning_line(event)
            case TrainingStarted():
                return say("plain.training", step=event.step, steps=event.steps)
            case Step():
                return self._step_line(event)
            case RanOutOfMemory():
                return _memory_line(event)
            case Predicted(scope="baseline" | "final") if event.done < event.total:
                return self._reading_line(event)
            case Validated():
                return _scores_line(event)
            case CheckpointSaved():
                return say("plain.checkpoint", step=event.step, seconds=f"{event.seconds:.1f}")
            case Log():
                return f"{say(f'level.{event.level}')}: {fmt.visible(event.message)}"
            case CertificateVoided():
                return say("story.voided", changes=changes_in_words(event.changes))
            case ResumeRefused():
                return "\n".join(map(difference_in_words, event.differences))
            case Finished():
                return self._last_line(event)
            case _:
                return None

    def _last_line(self, event: Finished) -> str:
        run, hint = fmt.visible(self._run_id), ""
        if event.state in {"stopped", "aborted"}:
            hint = say("plain.resume", run=run)
        elif event.exit_code == GpuLostError.exit_code:
            hint = say("plain.resume_checked", run=run)
        return "; ".join(filter(None, (last_word(event), hint)))

    def _due(self, event: AnyEvent) -> bool:
        due = event.time - self._line_at >= _LINE_SECONDS
        if due:
            self._line_at = event.time
        return due

    def _reading_line(self, event: Predicted) -> str | None:
        if not self._due(event):
            return None
        scope = say(f"plain.scope.{event.scope}")
        return say("plain.reading", scope=scope, done=event.done, total=event.total)

    def _step_line(self, event: Step) -> str | None:
        if not self._due(event):
            return None
        return say(
            "plain.step",
            step=event.step,
            loss=fmt.number(event.loss),
            rate=fmt.rate(event.samples_per_s),
            eta=fmt.duration(event.eta_s),
            peak=fmt.size(event.peak_bytes),
            limit=fmt.size(event.limit_bytes),
        )


def _tuning_line(event: ProbeStarted | ProbeFinished | Tuned) -> str:
    match event:
        case ProbeStarted():
            return say(
                "plain.probe",
                probe=event.probe,
                pixels=f"{event.setup.max_pixels:,}",
                tokens=event.setup.image_tokens,
            )
        case ProbeFinished():
            return say(
                "plain.probed",
                probe=event.probe,
                reason=_verdict(event),
                seconds=f"{event.seconds:.0f}",
            )
        case Tuned():
            return say(
                "plain.tuned",
                pixels=f"{event.choice.max_pixels:,}",
                tokens=event.choice.image_tokens,
                probes=event.probes,
            )


def _verdict(event: ProbeFinished) -> str:
    """The reason in the language in use, or in the engine's words where it's none of the common."""
    if event.verdict is None:
        return fmt.visible(event.reason)
    return say(
        f"plain.verdict.{event.verdict}",
        peak=f"{(event.peak_bytes or 0) / fmt.MIB:,.0f}",
        limit=f"{(event.limit_bytes or 0) / fmt.MIB:,.0f}",
        seconds=f"{event.seconds:.0f}",
    )


def _fault_line(event: Fault) -> str:
    return f"{say(f'level.{level_of(event)}')}: {fault_in_words(event)}"


def _memory_line(event: RanOutOfMemory) -> str:
    return say(
        f"plain.memory.{event.remedy}",
        step=event.step,
        limit=fmt.size(event.limit_bytes),
        before=event.budget_before,
        after=event.budget_after,
    )


def _scores_line(event: Validated) -> str:
    share = f"  {say('plain.share', share=f'{event.share * 100:.1f}')}" if event.share else ""
    return (
        say(
            "plain.scores",
            scope=say(f"plain.scope.{event.scope}"),
            n=event.scores.n,
            exact=fmt.percent(event.scores.exact),
            normalized=fmt.percent(event.scores.normalized),
            similar=fmt.percent(event.scores.similarity80),
        )
        + share
    )
