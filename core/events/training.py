"""Training as it goes: steps, predictions, scores, checkpoints."""

import msgspec

from core.evaluate.text import Scores
from core.events.base import Event, Scope


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
