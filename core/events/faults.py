"""What went wrong, and what was done about it."""

from typing import Literal

import msgspec

from core.events.base import Event, Remedy


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


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it was when the run was last worked on; ``name`` is what --allow takes."""

    name: str
    before: str
    now: str


class Differed(Event, frozen=True, kw_only=True, tag="differed"):
    """The run goes on although something is not as it was, because that was allowed by name."""

    differences: tuple[Difference, ...]


class ResumeRefused(Event, frozen=True, kw_only=True, tag="resume-refused"):
    """The worker leaves before it trains: something is not as it was, and not all is allowed."""

    differences: tuple[Difference, ...]


class NotFinite(Event, frozen=True, kw_only=True, tag="not-finite"):
    """A step whose loss or gradient was not finite: its update was skipped.

    ``in_a_row`` counts such steps without a good one between them, ``total`` all of the run's.
    """

    step: int
    what: Literal["loss", "gradient"]
    in_a_row: int
    total: int


class RolledBack(Event, frozen=True, kw_only=True, tag="rolled-back"):
    """Training went back from ``step`` to the checkpoint of ``to_step``."""

    step: int
    to_step: int
    message: str


class LossSpike(Event, frozen=True, kw_only=True, tag="loss-spike"):
    """A step's loss stood far above what was ``usual`` (mean of the steps before it)."""

    step: int
    loss: float
    usual: float


class CardTrouble(Event, frozen=True, kw_only=True, tag="card-trouble"):
    """What NVML told of the card in training; ``codes`` are Xid errors."""

    what: Literal["lost", "xid", "memory-errors", "throttled", "recovered"]
    codes: tuple[int, ...] = ()
    message: str


class LoaderDied(Event, frozen=True, kw_only=True, tag="loader-died"):
    """A process that loads photos died; the step's photos are loaded anew, in the same order."""

    step: int
    message: str


class SaveFailed(Event, frozen=True, kw_only=True, tag="save-failed"):
    """A checkpoint could not be written.

    ``free_bytes`` is the disk's room. ``retry_s`` are the seconds until the next try while training
    goes on; None where the run ends without that checkpoint.
    """

    step: int
    message: str
    free_bytes: int | None = None
    retry_s: float | None
