"""What a run tells the world: typed records, one JSON object a line, one writer.

Every line carries the schema version ``v``, a sequence number ``seq`` and the wall-clock
``time`` (seconds since 1970). A reader ignores a half-written last line, reports and skips a
corrupt one, and passes over kinds it doesn't know.
"""

import os
import time as clock
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from core.evaluate.text import Scores

SCHEMA_VERSION = 1
State = Literal[
    "queued",
    "tuning",
    "baseline",
    "training",
    "validating",
    "saving",
    "paused",
    "stopping",
    "stopped",
    "aborted",
    "died",
    "failed",
    "done",
]
FINAL_STATES: frozenset[State] = frozenset({"stopped", "aborted", "died", "failed", "done"})
Request = Literal["pause", "continue", "evaluate", "checkpoint", "stop", "abort"]
Scope = Literal["baseline", "rolling", "selection", "final"]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One way to train: weights, LoRA, batch and pixel budget, and what it costs.

    ``max_pixels`` is the pixel budget an image; ``image_tokens`` the most image tokens that
    it allows; ``micro_batch_tokens`` the tokens of the worst micro-batch, padding included.
    """

    weights: str
    rank: int
    targets: str
    checkpointing: str
    micro_batch_tokens: int
    max_pixels: int
    image_tokens: int
    peak_gib: float | None = None
    headroom_gib: float | None = None
    samples_per_s: float | None = None
    feasible: bool | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True):
    """A record; ``seq`` and ``time`` are filled in by the writer."""

    v: int = SCHEMA_VERSION
    seq: int = 0
    time: float = 0.0


class WorkerStarted(Event, frozen=True, kw_only=True, tag="worker-started"):
    """A worker took the run; ``attempt`` counts from 1, and is 2 or more on a resume.

    ``device`` is the kind (cuda or cpu), ``card`` its name for people.
    """

    pid: int
    attempt: int
    device: str
    card: str
    profile: str
    capacity_bytes: int
    versions: dict[str, str]


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """The run entered a state."""

    state: State


class DataOpened(Event, frozen=True, kw_only=True, tag="data"):
    """Rows that can be trained on, and rows set aside."""

    train_rows: int
    validation_rows: int
    set_aside: int


class RowSetAside(Event, frozen=True, kw_only=True, tag="row-set-aside"):
    """A row that won't be used, and why; ``row`` counts lines from 1."""

    file: str
    row: int
    reason: str


class ProbeStarted(Event, frozen=True, kw_only=True, tag="probe-started"):
    """A worst-case trial of a pixel budget began in a process of its own."""

    probe: int
    setup: Setup


class ProbeFinished(Event, frozen=True, kw_only=True, tag="probe-finished"):
    """What the trial showed; ``reason`` is one sentence; ``peak_bytes`` is None if it failed."""

    probe: int
    setup: Setup
    fits: bool
    peak_bytes: int | None
    seconds: float
    reason: str


class Tuned(Event, frozen=True, kw_only=True, tag="tuned"):
    """The setup to train with, how many probes it took, and the chain of decisions."""

    choice: Setup
    probes: int
    reused: bool
    why: tuple[str, ...]


class TrainingStarted(Event, frozen=True, kw_only=True, tag="training-started"):
    """Training begins (or goes on) after ``step`` of ``steps`` optimizer steps."""

    step: int
    steps: int
    epochs: int
    samples: int
    trainable_parameters: int


class Step(Event, frozen=True, kw_only=True, tag="step"):
    """One optimizer step. Times are milliseconds a sample; memory is bytes.

    ``loss`` is the mean over label tokens; ``samples_per_s`` and ``eta_s`` are smoothed and
    include validation and checkpoints.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    samples: int
    label_tokens: int
    samples_per_s: float
    eta_s: float
    data_ms: float
    vision_ms: float
    language_ms: float
    optimizer_ms: float
    used_bytes: int
    peak_bytes: int
    limit_bytes: int


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the model read on one validation photo; ``row`` counts from 1."""

    row: int
    image: str
    truth: str
    reply: str | None
    exact: bool
    normalized: bool
    similarity: float


class Predicted(Event, frozen=True, kw_only=True, tag="predictions"):
    """A slice of validation rows was read."""

    step: int
    scope: Scope
    done: int
    total: int
    predictions: tuple[Prediction, ...]


class Validated(Event, frozen=True, kw_only=True, tag="scores"):
    """Scores at ``step``: the rolling window, or a whole pass.

    ``window`` is the size of the rolling window, None for a pass. ``share`` is the share of
    training time that validation has taken so far, ``share_limit`` what it may take.
    """

    step: int
    scope: Scope
    scores: Scores
    window: int | None = None
    share: float | None = None
    share_limit: float | None = None
    best: bool = False


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A verified checkpoint is on disk."""

    step: int
    path: str
    seconds: float
    best: bool


class RequestSeen(Event, frozen=True, kw_only=True, tag="request"):
    """The worker has read a request from control.json and obeys it."""

    id: str
    request: Request


class Log(Event, frozen=True, kw_only=True, tag="log"):
    """A line for people."""

    level: Literal["info", "warning", "error"]
    message: str


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """The worker leaves; nothing follows until a resume."""

    state: State
    exit_code: int
    message: str
    step: int = 0


AnyEvent = (
    WorkerStarted
    | StateChanged
    | DataOpened
    | RowSetAside
    | ProbeStarted
    | ProbeFinished
    | Tuned
    | TrainingStarted
    | Step
    | Predicted
    | Validated
    | CheckpointSaved
    | RequestSeen
    | Log
    | Finished
)

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_HEADER = msgspec.json.Decoder(dict[str, object])
_KNOWN_KINDS = frozenset(
    kind.__struct_config__.tag for kind in AnyEvent.__args__ if issubclass(kind, Event)
)


class EventWriter:
    """Appends events to a run's file; the worker that holds the run's lock owns it."""

    def __init__(self, path: Path) -> None:
        self._next_seq = _end_last_line(path)
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, event: AnyEvent) -> None:
        """Appends one line in one system call, so that readers see it whole or not yet."""
        stamped = msgspec.structs.replace(event, seq=self._next_seq, time=clock.time())
        self._file.write(_ENCODER.encode(stamped) + b"\n")
        self._next_seq += 1

    def close(self) -> None:
        """Flushes the file to disk and closes it."""
        os.fsync(self._file.fileno())
        self._file.close()


class EventReader:
    """Replays a run's events and then tails them by offset.

    ``problems`` lists lines that could not be read, for people to see.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0
        self.problems: list[str] = []

    def poll(self) -> list[AnyEvent]:
        """The events that were written since the last call; empty if there are none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole, newline, _half_written = data.rpartition(b"\n")
        if not newline:
            return []
        self._offset += len(whole) + 1
        events = (self._parse(line) for line in whole.split(b"\n"))
        return [event for event in events if event is not None]

    def _parse(self, line: bytes) -> AnyEvent | None:
        self._lines += 1
        if not line.strip():
            return None
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not _is_unknown_kind(line):
                self.problems.append(f"{self._path.name} line {self._lines}: {error}")
            return None


def _is_unknown_kind(line: bytes) -> bool:
    try:
        return _HEADER.decode(line).get("kind") not in _KNOWN_KINDS
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _end_last_line(path: Path) -> int:
    """Closes a line that a killed worker left half-written; returns the next sequence number."""
    if not path.exists():
        return 1
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
    return data.count(b"\n") + 1 + (not data.endswith(b"\n") if data else 0)
