"""What every record of a run has, and the words that several kinds share."""

from typing import Literal

import msgspec

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
