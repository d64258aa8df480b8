"""What a run tells the world: typed records, one JSON object a line, one writer.

Every line carries the schema version ``v``, a sequence number ``seq`` and the wall-clock
``time`` (seconds since 1970). core/event_log.py writes and reads them.
"""

from typing import Literal

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
Remedy = Literal["halve", "recompute", "wait"]
Verdict = Literal["fits", "out-of-memory", "host-memory", "timed-out"]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One way to train: weights, LoRA, batch and pixel budget, and what it costs.

    ``max_pixels`` is the pixel budget an image; ``image_tokens`` the most image tokens that
    it allows; ``text_tokens`` the most that a sample's text has (0: not known);
    ``micro_batch_tokens`` the tokens of the worst micro-batch; ``prompts`` how many photos are
    read at a time in validation (0: as many as the config says). ``predicted_gib`` is the peak
    that was expected, ``peak_gib`` the one that was measured.
    """

    weights: str
    rank: int
    targets: str
    checkpointing: str
    micro_batch_tokens: int
    max_pixels: int
    image_tokens: int
    text_tokens: int = 0
    prompts: int = 0
    predicted_gib: float | None = None
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

    ``device`` is the kind (cuda or cpu), ``card`` its name for people. A worker that is there
    ``tune_only`` leaves before training.
    """

    pid: int
    attempt: int
    device: str
    card: str
    profile: str
    capacity_bytes: int
    versions: dict[str, str]
    tune_only: bool = False


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """The run entered a state."""

    state: State


class DataOpened(Event, frozen=True, kw_only=True, tag="data"):
    """Rows that can be trained on, and rows set aside."""

    train_rows: int
    validation_rows: int
    set_aside: int


class RowSetAside(Event, frozen=True, kw_only=True, tag="row-set-aside"):
    """A row that won't be used, and why; ``row`` counts lines from 1.

    ``replaced_by`` is the row that was taken for it, where that was found out in training.
    """

    file: str
    row: int
    reason: str
    replaced_by: int | None = None


class Planned(Event, frozen=True, kw_only=True, tag="planned"):
    """Of ``total`` setups, ``done`` have been planned."""

    done: int
    total: int


class ProbeStarted(Event, frozen=True, kw_only=True, tag="probe-started"):
    """A worst-case trial of a pixel budget began in a process of its own."""

    probe: int
    setup: Setup


class ProbeFinished(Event, frozen=True, kw_only=True, tag="probe-finished"):
    """What the trial showed; ``reason`` is one sentence; ``peak_bytes`` is None if it failed.

    ``verdict`` is the reason for programs, with ``limit_bytes`` that the trial could have had;
    ``host-memory`` is a card that went on, slowly, in the host's memory.
    """

    probe: int
    setup: Setup
    fits: bool
    peak_bytes: int | None
    seconds: float
    reason: str
    verdict: Verdict | None = None
    limit_bytes: int | None = None


class Tuned(Event, frozen=True, kw_only=True, tag="tuned"):
    """The setup to train with, how many probes it took, and the chain of decisions."""

    choice: Setup
    probes: int
    reused: bool
    why: tuple[str, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that a proof was made for, by its dotted name, as it was and as it is.

    ``before`` and ``now`` are words, empty where it wasn't there or has no short ones.
    """

    name: str
    before: str
    now: str


class CertificateVoided(Event, frozen=True, kw_only=True, tag="certificate-voided"):
    """What was proved to fit this run holds no longer, since these changed; tuning follows.

    The names begin with ``model``, ``lora``, ``tune``, ``batch``, ``checkpointing``,
    ``generation``, ``profile``, ``driver``, ``limit_bytes``, ``versions`` or ``extremes`` (of the
    data); ``certificate`` is the file itself, which can't be read or doesn't say.
    """

    changes: tuple[Change, ...]


class ModelOpened(Event, frozen=True, kw_only=True, tag="model"):
    """The base model: where from, at which commit of the hub, and how its weights are held."""

    path: str
    revision: str | None
    model_type: str
    weights: str
    compute: str
    weight_bytes: int


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
    include validation and checkpoints. ``forward_ms`` and ``backward_ms`` are the language
    model's; ``validation_ms`` and ``checkpoint_ms`` were spent since the step before. ``skipped``
    says that gradients overflowed in fp16, so that only the loss scale changed. ``tokens`` are
    those of text and image, and ``utilisation`` the model-FLOPs utilisation of the step by itself,
    as a share of the profile's peak, where that is known.
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
    forward_ms: float
    backward_ms: float
    optimizer_ms: float
    validation_ms: float
    checkpoint_ms: float
    tokens: int
    tokens_per_s: float
    utilisation: float | None
    skipped: bool
    used_bytes: int
    peak_bytes: int
    limit_bytes: int


class RanOutOfMemory(Event, frozen=True, kw_only=True, tag="out-of-memory"):
    """Memory ran out while step ``step`` (from 1) was worked on, and what is done about it.

    ``halve``: a micro-batch may hold ``budget_after`` tokens from here on instead of
    ``budget_before``; ``recompute``: activations of all layers are recomputed from here on;
    ``wait``: not even one sample fits, so it's waited for memory. Then the same samples are done
    again. ``peak_bytes`` were taken when it failed, ``limit_bytes`` is what could be had then;
    ``message`` are the device's own words.
    """

    step: int
    remedy: Remedy
    budget_before: int
    budget_after: int
    peak_bytes: int
    limit_bytes: int
    message: str


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the model read on one validation photo; ``row`` counts from 1.

    ``problem`` says why there is no reply where the row or its photo can't be read.
    """

    row: int
    image: str
    truth: str
    reply: str | None
    exact: bool
    normalized: bool
    similarity: float
    problem: str | None = None


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
    | Planned
    | ProbeStarted
    | ProbeFinished
    | Tuned
    | CertificateVoided
    | ModelOpened
    | TrainingStarted
    | Step
    | RanOutOfMemory
    | Predicted
    | Validated
    | CheckpointSaved
    | RequestSeen
    | Log
    | Finished
)
