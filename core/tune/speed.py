"""How fast a setup trains: from floating-point operations and the card's peaks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from core.model.flops import StepFlops, Work
from core.tune.case import Case
from core.tune.search import Bounds
from core.tune.space import Candidate

# Of a card's peak, what dense training reaches; an estimate until a probe has measured it.
EFFICIENCY = 0.4
# Bytes that move to use a 4-bit weight: 0.5 read, 2 written and 2 read again as half precision.
_NF4_TRAFFIC = 4.5

Rate = Callable[[int], float | None]


@dataclass(frozen=True)
class Speed:
    """Operations a second that a setup reaches, and bytes a second that memory moves.

    ``operations`` is None where the card's peak isn't known. ``measured`` tells whether a probe
    said so.
    """

    operations: float | None
    bandwidth: float | None
    measured: bool = False

    @classmethod
    def predicted(cls, peak_tflops: float | None, bandwidth_gb_s: float | None) -> Self:
        """From a profile's peaks."""
        return cls(
            operations=peak_tflops * 1e12 * EFFICIENCY if peak_tflops is not None else None,
            bandwidth=bandwidth_gb_s * 1e9 if bandwidth_gb_s is not None else None,
        )

    def seconds(self, flops: StepFlops, work: Work, candidate: Candidate, rows: float) -> float:
        """Seconds for some work in so many packed rows; infinite where the speed isn't known."""
        if self.operations is None:
            return math.inf
        recomputed = recomputed_share(candidate)
        operations = flops(work) + recomputed * flops.language_forward(work)
        moving = 0.0
        if candidate.weights == "nf4" and self.bandwidth is not None and not self.measured:
            moving = rows * (2 + recomputed) * flops.token * _NF4_TRAFFIC / self.bandwidth
        return operations / self.operations + moving


def recomputed_share(candidate: Candidate) -> float:
    """The share of language layers that are run a second time."""
    named = {"none": 0.0, "all": 1.0}
    checkpointing = candidate.checkpointing
    return named[checkpointing] if isinstance(checkpointing, str) else 1 / checkpointing


def mean_work(case: Case, tokens: int, window_patches: int | None) -> Work:
    """What the mean sample of a data set asks of the model at a budget of image tokens.

    ``window_patches`` are those of a tower window, None where all layers see the whole photo.
    """
    images, sample = case.mean_tokens(tokens)
    patches = images * case.geometry.merge**2
    window = patches if window_patches is None else min(patches, window_patches)
    return Work(
        tokens=round(sample),
        pairs=round(sample**2),
        patches=round(patches),
        photo_pairs=round(patches**2),
        window_pairs=round(patches * window),
        labels=case.text.answer,
    )


def samples_per_s(
    speed: Speed,
    flops: StepFlops,
    case: Case,
    tokens: int,
    candidate: Candidate,
    window_patches: int | None = None,
    row_tokens: int = 0,
) -> float | None:
    """Samples a second at a budget of image tokens; None where the speed isn't known.

    ``row_tokens`` are those of a packed row (0: as many as a sample has).
    """
    work = mean_work(case, tokens, window_patches)
    seconds = speed.seconds(flops, work, candidate, rows=work.tokens / max(row_tokens, work.tokens))
    return 1 / seconds if math.isfinite(seconds) else None


def within_hours(bounds: Bounds, hours: float, rows: int, rate: Rate) -> Bounds:
    """The bounds without budgets at which ``rows`` samples take over ``hours``.

    The floor stays, however slow it is.
    """

    def in_time(tokens: int) -> bool:
        speed = rate(tokens)
        return speed is not None and rows / speed <= hours * 3600

    low, high = bounds.floor, bounds.ceiling
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if in_time(middle) else (low, middle - 1)
    return Bounds(bounds.floor, low, bounds.fill)
