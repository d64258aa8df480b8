"""Small real runs that save at every step, what they leave when undisturbed, and how they differ.

Two references are trained to their end without a break, one of a single process and one of two;
every other run of that many processes must leave their bytes.
"""

import contextlib
import hashlib
import os
import select
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil
from small_run import small_config

from core.config import RunConfig
from core.event_log import EventReader
from core.events import Finished, Log, State, StateChanged, Step, WorkerStarted
from core.launch import launch
from core.run_dir import RunDir, create_run
from core.train.checkpoints import checkpoint

replace = msgspec.structs.replace
ADAPTER = f"{checkpoint.ADAPTER_FOLDER}/adapter_model.safetensors"
EXACT = (ADAPTER, checkpoint.OPTIMIZER_FILE)
_OFTEN_SECONDS = 0.01
_PATIENCE_SECONDS = 300.0


def often_saved(home: Path, processes: int) -> RunConfig:
    """The small run with a checkpoint at every step and little to read."""
    small = small_config(home)
    return replace(
        small,
        name=f"kill-{processes}",
        device=replace(small.device, processes=processes),
        train=replace(small.train, checkpoint_steps=1),
        validation=replace(
            small.validation, slice_rows=2, selection_rows=2, report_rows=4, max_new_tokens=6
        ),
    )


def content(path: Path) -> str:
    """A digest of all that a checkpoint says of training.

    Of its state that is all but what measured time decides: when validation rows were read.
    """
    state = checkpoint.read_state(path)
    digest = hashlib.sha256()
    for name in EXACT:
        digest.update(hashlib.sha256((path / name).read_bytes()).digest())
    digest.update(msgspec.json.encode((state.step, state.scaler, state.savings)))
    return digest.hexdigest()


def different_bytes(one: Path, other: Path) -> int:
    """How many bytes of two checkpoints' adapters and optimizers differ."""
    count = 0
    for name in EXACT:
        ours, theirs = (one / name).read_bytes(), (other / name).read_bytes()
        count += abs(len(ours) - len(theirs))
        count += sum(a != b for a, b in zip(ours, theirs, strict=False))
    return count


@dataclass
class Reference:
    """An undisturbed run: its losses, its checkpoints by step, and how long its worker lived."""

    run: RunDir
    seconds: float = 0.0
    contents: dict[int, str] = field(default_factory=dict)
    losses: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The number of steps."""
        return max(self.losses)

    def note(self) -> None:
        """Takes the contents of the checkpoints that are there and not yet known."""
        for path in self.run.checkpoints.glob("step-*"):
            step = path.name.removeprefix("step-")
            if not step.isdigit() or int(step) in self.contents:
                continue
            # What is too old may be deleted while it is read.
            with contextlib.suppress(OSError):
                self.contents[int(step)] = content(path)


def wait_for_exit(pid: int, seconds: float, tick: Callable[[], None] | None = None) -> bool:
    """Whether a process ended within ``seconds``; ``tick`` is called all the while."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    until = time.monotonic() + seconds
    try:
        while (left := until - time.monotonic()) > 0:
            if select.select([end], [], [], left if tick is None else _OFTEN_SECONDS)[0]:
                return True
            if tick is not None:
                tick()
        return False
    finally:
        os.close(end)


def new_run(folder: Path, config: RunConfig, certificate: Path | None) -> RunDir:
    """A run that needs no tuning where there is a certificate."""
    run = create_run(folder, config)
    if certificate is not None:
        shutil.copy(certificate, run.certificate_file)
    return run


def undisturbed(run: RunDir) -> Reference:
    """Trains a run to its end; raises RuntimeError if it doesn't come there."""
    reference = Reference(run)
    begun = time.monotonic()
    wait_for_exit(launch(run), _PATIENCE_SECONDS, reference.note)
    reference.seconds = time.monotonic() - begun
    reference.note()
    told = EventReader(run.events_file).poll()
    if not isinstance(told[-1], Finished) or told[-1].state != "done":
        raise RuntimeError(f"the undisturbed run ended so: {told[-1]}")
    reference.losses = losses_of(run)
    return reference


def losses_of(run: RunDir) -> dict[int, tuple[float, float]]:
    """Loss and gradient norm of each step that a run told."""
    told = EventReader(run.events_file).poll()
    return {event.step: (event.loss, event.grad_norm) for event in told if isinstance(event, Step)}


@dataclass
class Findings:
    """What kills showed, over all runs; all but the first five should be 0 or empty."""

    kills: int = 0
    by_phase: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    completed: int = 0
    steps_told_again: int = 0
    passed_over: int = 0
    did_not_resume: list[str] = field(default_factory=list)
    different_bytes_at_the_end: int = 0
    differing_checkpoints: list[str] = field(default_factory=list)
    checkpoints_compared: int = 0
    lost_checkpoints: list[str] = field(default_factory=list)
    bad_sequence_numbers: int = 0
    torn_lines: int = 0
    differing_steps: list[str] = field(default_factory=list)
    orphans: int = 0

    def plain(self) -> dict[str, Any]:
        """For a result file."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def faults(self) -> list[str]:
        """What must not happen, one line each."""
        found = [*self.did_not_resume, *self.differing_checkpoints, *self.lost_checkpoints]
        found += self.differing_steps
        for name in ("different_bytes_at_the_end", "bad_sequence_numbers", "orphans"):
            if count := getattr(self, name):
                found.append(f"{name}: {count}")
        return found


def phase(run: RunDir, pid: int) -> State | str:
    """What a worker told last of where it is; "starting" before it tells anything."""
    found: State | str = "starting"
    told = False
    for event in EventReader(run.events_file).poll():
        if isinstance(event, WorkerStarted):
            told = event.pid == pid
            found = "opening" if told else "starting"
        elif isinstance(event, StateChanged) and told:
            found = event.state
    return found


def compare_checkpoints(run: RunDir, reference: Reference, found: Findings) -> int:
    """Compares all that verify; returns the newest one's step, 0 where there is none."""
    newest = 0
    for path in sorted(run.checkpoints.glob("step-*")):
        step = path.name.removeprefix("step-")
        if not step.isdigit() or checkpoint.verify(path) is not None:
            continue
        newest = max(newest, int(step))
        expected = reference.contents.get(int(step))
        if expected is not None:
            found.checkpoints_compared += 1
            if content(path) != expected:
                found.differing_checkpoints.append(f"{run.id}/{path.name}")
    return newest


def read_events(run: RunDir, reference: Reference, found: Findings) -> None:
    """Sequence numbers, torn lines, and steps that were told more than once."""
    reader = EventReader(run.events_file)
    last, told = 0, Counter[int]()
    for event in reader.poll():
        found.bad_sequence_numbers += event.seq <= last
        last = event.seq
        if isinstance(event, Log) and "is passed over" in event.message:
            found.passed_over += 1
        if isinstance(event, Step):
            told[event.step] += 1
            if (event.loss, event.grad_norm) != reference.losses[event.step]:
                found.differing_steps.append(f"{run.id}: step {event.step}")
    found.torn_lines += len(reader.problems)
    found.steps_told_again += sum(count - 1 for count in told.values())


def orphans_of(sessions: set[int], seconds: float = 60.0) -> int:
    """How many processes of those sessions still live after ``seconds``."""
    tick = threading.Event()
    until = time.monotonic() + seconds
    while True:
        left = sum(_session_of(process) in sessions for process in psutil.process_iter())
        if not left or time.monotonic() > until:
            return left
        tick.wait(0.2)


def _session_of(process: psutil.Process) -> int:
    with contextlib.suppress(ProcessLookupError, psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return os.getsid(process.pid)
    return -1
