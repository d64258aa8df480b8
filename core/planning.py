"""What a plan is asked and what it answers: made by core/tune, shown by the console."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.config import Checkpointing, Count, Positive, Targets, Text

Weights = Literal["bf16", "fp16", "fp32", "nf4"]
Source = Literal["predicted", "measured"]
# A photo of 12 megapixels, as phones take them.
PHONE_PHOTO = (4032, 3024)


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which setups to plan for which model, card and data; needs no card and no weights.

    ``model`` is a published architecture (case ignored), a folder or a hub id. Where ``weights``
    or ``checkpointing`` are empty, all that the card can do are planned. Without a data set
    (``train`` and ``validation``, paths of JSONL, whose photos may not lead out of the folder
    ``root`` where one is given) the largest ``photo`` is width and height in
    pixels, and ``text_tokens`` what prompt and answer have at most. ``rows`` is for hours an epoch
    where there is no data set. Of the goals at most one is given: a fixed ``max_pixels``, the
    largest budget that ends an epoch in ``hours``, or the ``fastest`` setup; the default is the
    largest budget.
    """

    model: Text
    profile: Text = "auto"
    capacity_gib: Positive | None = None
    weights: tuple[Weights, ...] = ()
    ranks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (16,)
    targets: Annotated[tuple[Targets, ...], Meta(min_length=1)] = ("language",)
    checkpointing: tuple[Checkpointing, ...] = ()
    train: str | None = None
    validation: str | None = None
    root: Text | None = None
    photo: tuple[Count, Count] = PHONE_PHOTO
    text_tokens: Count = 64
    rows: Count | None = None
    max_pixels: Count | None = None
    hours: Positive | None = None
    fastest: bool = False


class PlannedSetup(msgspec.Struct, frozen=True, kw_only=True):
    """A setup at the largest pixel budget that fits, or at the budget that was asked for.

    ``max_pixels`` is the pixel budget an image, ``image_tokens`` what the largest photo becomes
    there, ``shrunk_share`` the share of photos that it makes smaller. ``peak`` and ``speed`` say
    whether ``peak_gib`` and ``samples_per_s`` are predicted or measured. Where nothing fits,
    ``feasible`` is false and ``peak_gib`` is what the smallest budget would take.
    """

    weights: str
    rank: int
    targets: str
    checkpointing: str
    micro_batch_tokens: int
    max_pixels: int
    image_tokens: int
    peak_gib: float
    headroom_gib: float
    samples_per_s: float | None
    feasible: bool
    shrunk_share: float | None = None
    hours_an_epoch: float | None = None
    peak: Source = "predicted"
    speed: Source = "predicted"
    chosen: bool = False


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """All setups, the best first, and the one to take; memory is GiB.

    ``limit_gib`` is what a run may use of ``capacity_gib``. ``by_kind`` splits the choice's peak
    into weights, adapter, optimizer, activations, logits and KV cache, and ``by_phase`` has the
    peak of each phase. ``why`` are the decisions in order, one sentence each, and ``warnings``
    what a person should know before training.
    """

    model: str
    profile: str
    capacity_gib: float
    limit_gib: float
    choice: PlannedSetup | None
    setups: tuple[PlannedSetup, ...]
    probes: int
    why: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    by_kind: dict[str, float] = {}
    by_phase: dict[str, float] = {}
    rows: int | None = None
    largest_photo: tuple[int, int] = PHONE_PHOTO
