"""Signals into every phase of a real worker, each waited for by the run's own events."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec
from e2e_box import PATIENCE_SECONDS, Box, untuned, wait_until

from core.config import RunConfig
from core.events import (
    AnyEvent,
    Finished,
    Predicted,
    ProbeStarted,
    Request,
    StateChanged,
    Step,
    WorkerStarted,
)
from core.launch import launch
from core.run_dir import RunDir, create_run
from core.run_watch import RunWatch
from core.train.checkpoints import checkpoint

DEADLINE_SECONDS = 30.0
# Each asks once; the last is what systemd sends at logout.
REQUESTS = (
    (signal.SIGTERM,),
    (signal.SIGINT,),
    (signal.SIGHUP,),
    (signal.SIGTERM, signal.SIGHUP),
)


@dataclass(frozen=True)
class Phase:
    """Where a signal hits: at once, or as soon as an event says that the phase has begun."""

    name: str
    begun: Callable[[AnyEvent], bool] | None
    keeps: bool = False
    request: Request | None = None
    tunes: bool = False
    epochs: int = 2
    processes: int = 1


def _reads(scope: str) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, Predicted) and event.scope == scope


def _enters(state: str) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, StateChanged) and event.state == state


def _does_step(step: int) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, Step) and event.step == step


PHASES = (
    Phase("first second", None),
    Phase("load", lambda event: isinstance(event, WorkerStarted)),
    Phase("tune", lambda event: isinstance(event, ProbeStarted), tunes=True),
    Phase("baseline", _reads("baseline")),
    Phase("step", _does_step(2), keeps=True),
    Phase("step of two processes", _does_step(2), keeps=True, processes=2),
    Phase("validation", _reads("rolling"), keeps=True, request="evaluate"),
    Phase("save", _enters("saving"), keeps=True, request="checkpoint"),
    Phase("pause", _enters("paused"), keeps=True, request="pause"),
    Phase("selection", _reads("selection"), keeps=True, epochs=1),
    Phase("last second", _reads("final"), keeps=True, epochs=1),
)


@dataclass(frozen=True)
class Outcome:
    """How a worker left."""

    phase: str
    signal: str
    exit_code: int
    seconds: float
    state: str
    kept: int
    said: str


def hit(box: Box, phase: Phase, numbers: Sequence[signal.Signals]) -> Outcome:
    """Starts a worker, sends it the signals in the phase, and waits until it has left."""
    run = _new_run(box, phase)
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: Any, *arguments: Any, **options: Any) -> Any:
        process = real(command, *arguments, **options)
        if "core.train.worker" in command:
            started.append(process)
            if phase.begun is None:
                _send(process, numbers)
        return process

    with patch("core.launch.subprocess.Popen", start):
        sent = time.monotonic()
        launch(run)
    watch = RunWatch(run)
    if phase.begun is not None:
        _wait_for(watch, phase)
        sent = time.monotonic()
        _send(started[0], numbers)
    code = started[0].wait(PATIENCE_SECONDS)
    return _outcome(watch, phase, name_of(numbers), code, time.monotonic() - sent)


def name_of(numbers: Sequence[signal.Signals]) -> str:
    """What a request is called: ``SIGTERM+SIGHUP``."""
    return "+".join(number.name for number in numbers)


def _send(process: subprocess.Popen[bytes], numbers: Sequence[signal.Signals]) -> None:
    """The signals at once, however soon the worker leaves: held still, it hears of all together."""
    together = (signal.SIGSTOP, *numbers, signal.SIGCONT) if len(numbers) > 1 else numbers
    for number in together:
        process.send_signal(number)


def _new_run(box: Box, phase: Phase) -> RunDir:
    config: RunConfig = box.config
    train = msgspec.structs.replace(config.train, epochs=phase.epochs)
    device = msgspec.structs.replace(config.device, processes=phase.processes)
    config = msgspec.structs.replace(config, train=train, device=device)
    if phase.tunes:
        return create_run(box.runs, untuned(config, 0.09))
    return Box(box.home, config, box.certificate).new_run()


def _wait_for(watch: RunWatch, phase: Phase) -> None:
    assert phase.begun is not None
    begun: list[AnyEvent] = []
    asked = phase.request is None

    def seen(watched: RunWatch) -> bool:
        nonlocal asked
        if not asked and watched.state.step >= 1 and phase.request is not None:
            asked = True
            watched.run.request(phase.request)
        return bool(begun)

    begins = phase.begun
    poll = watch.poll
    watch.poll = lambda: [event for event in poll() if not begins(event) or begun.append(event)]  # type: ignore[method-assign,func-returns-value]
    wait_until(watch, seen)
    watch.poll = poll  # type: ignore[method-assign]


def _outcome(watch: RunWatch, phase: Phase, signals: str, code: int, seconds: float) -> Outcome:
    watch.poll()
    end: Finished | None = watch.state.finished
    path, passed_over = checkpoint.newest(watch.run.checkpoints)
    assert passed_over == []
    kept = checkpoint.read_state(path).step if path is not None else 0
    return Outcome(
        phase.name,
        signals,
        code,
        round(seconds, 2),
        end.state if end is not None else "no word",
        kept,
        end.message if end is not None else "",
    )


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    rows = ["| phase | signal | exit code | seconds | end | kept |", "|---|---|---|---|---|---|"]
    for one in outcomes:
        kept = f"checkpoint {one.kept}" if one.kept else "nothing to keep yet"
        rows.append(
            f"| {one.phase} | {one.signal} | {one.exit_code} | {one.seconds:.2f} "
            f"| {one.state} | {kept} |"
        )
    return "\n".join(rows)
