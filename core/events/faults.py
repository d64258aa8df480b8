"""What went wrong, and what was done about it."""

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
