"""The setups that a card can try, and which of those that fit is taken for a goal; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

Checkpointing = str | int

ALL_CHECKPOINTING: tuple[Checkpointing, ...] = ("none", 4, 2, "all")
# Budgets this close (share of the larger one's tokens) count as equally large.
_SAME_SIZE = 0.01
_PLAIN_FIRST = ("fp32", "bf16", "fp16", "nf4")


@dataclass(frozen=True)
class Candidate:
    """A setup without its pixel budget.

    ``checkpointing`` is "none", "all", or n where every n-th layer recomputes its activations.
    """

    weights: str
    rank: int
    targets: str
    checkpointing: Checkpointing


@dataclass(frozen=True)
class Outcome:
    """What a candidate reaches at a budget of ``tokens`` image tokens, predicted or measured.

    ``samples_per_s`` is None where no speed is known, ``peak_bytes`` where no peak is.
    """

    candidate: Candidate
    tokens: int
    samples_per_s: float | None = None
    peak_bytes: int | None = None

    @property
    def speed(self) -> float:
        """Samples a second; an unknown speed compares as none at all."""
        return self.samples_per_s or 0.0


@dataclass(frozen=True)
class Largest:
    """The goal of the largest pixel budget."""


@dataclass(frozen=True)
class WithinHours:
    """The goal of the largest budget at which an epoch of ``rows`` ends within ``hours``."""

    hours: float
    rows: int


@dataclass(frozen=True)
class Fastest:
    """The goal of the most samples a second at a budget of at least ``floor`` image tokens."""

    floor: int = 1


Goal = Largest | WithinHours | Fastest


@dataclass(frozen=True)
class Choice:
    """The outcome that was taken, None where there was none to take, and why, in one sentence."""

    outcome: Outcome | None
    why: str


def all_weights(dtypes: Sequence[str]) -> tuple[str, ...]:
    """Number formats of the base weights worth planning, for a profile's ``dtypes`` in its order.

    A half-precision format and 4-bit weights; fp32 alone where the profile names it first, or
    names no half-precision format.
    """
    half = next((dtype for dtype in dtypes if dtype in ("bf16", "fp16")), None)
    if half is None or dtypes[0] == "fp32":
        return ("fp32",)
    return (half, "nf4")


def space(
    weights: Sequence[str],
    ranks: Sequence[int],
    targets: Sequence[str],
    checkpointing: Sequence[Checkpointing],
) -> tuple[Candidate, ...]:
    """Every combination once, in the order given."""
    combinations = product(weights, ranks, targets, checkpointing)
    return tuple(dict.fromkeys(Candidate(*combination) for combination in combinations))


def undominated(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Outcomes that none of the same rank and targets beats in budget or speed without losing."""
    return tuple(
        outcome for outcome in outcomes if not any(_beats(other, outcome) for other in outcomes)
    )


def _beats(one: Outcome, other: Outcome) -> bool:
    comparable = (one.candidate.rank, one.candidate.targets) == (
        other.candidate.rank,
        other.candidate.targets,
    )
    at_least = one.tokens >= other.tokens and one.speed >= other.speed
    more = one.tokens > other.tokens or one.speed > other.speed
    return comparable and at_least and more


def hours_an_epoch(outcome: Outcome, rows: int) -> float:
    """Hours for ``rows`` samples; infinite where the speed is unknown."""
    return rows / outcome.speed / 3600 if outcome.speed > 0 else math.inf


def choose(outcomes: Sequence[Outcome], goal: Goal) -> Choice:
    """The outcome to take for a goal, of those that fit.

    Budgets within 1 % of each other count as equal, and the faster one is taken; at equal speed
    the one with plainer weights, then the one that recomputes less.
    """
    if not outcomes:
        return Choice(None, "No setup fits, not even at the smallest pixel budget.")
    if isinstance(goal, WithinHours):
        return _within_hours(outcomes, goal)
    if isinstance(goal, Fastest):
        return _fastest(outcomes, goal)
    taken = _largest(outcomes)
    return Choice(taken, f"{_named(taken)} has the largest pixel budget{_by_speed(outcomes)}.")


def _within_hours(outcomes: Sequence[Outcome], goal: WithinHours) -> Choice:
    in_time = [one for one in outcomes if hours_an_epoch(one, goal.rows) <= goal.hours]
    if in_time:
        taken = _largest(in_time)
        hours = hours_an_epoch(taken, goal.rows)
        return Choice(
            taken,
            f"{_named(taken)} has the largest pixel budget that ends an epoch within "
            f"{goal.hours:,.3g} hours: {hours:,.3g}.",
        )
    taken = min(outcomes, key=_fast_then_large)
    hours = hours_an_epoch(taken, goal.rows)
    takes = f"takes {hours:,.3g}" if math.isfinite(hours) else "has no known speed"
    return Choice(
        taken,
        f"No setup ends an epoch within {goal.hours:,.3g} hours; {_named(taken)} is the fastest "
        f"and {takes}.",
    )


def _fastest(outcomes: Sequence[Outcome], goal: Fastest) -> Choice:
    large = [one for one in outcomes if one.tokens >= goal.floor]
    if large:
        taken = min(large, key=_fast_then_large)
        return Choice(
            taken,
            f"{_named(taken)} has the most samples a second of budgets from "
            f"{goal.floor:,} image tokens.",
        )
    taken = _largest(outcomes)
    return Choice(
        taken,
        f"No setup reaches {goal.floor:,} image tokens; {_named(taken)} comes closest with "
        f"{taken.tokens:,}.",
    )


def _largest(outcomes: Sequence[Outcome]) -> Outcome:
    return min(_about_largest(outcomes), key=_fast_then_plain)


def _about_largest(outcomes: Sequence[Outcome]) -> list[Outcome]:
    most = max(one.tokens for one in outcomes)
    return [one for one in outcomes if one.tokens >= (1 - _SAME_SIZE) * most]


def _by_speed(outcomes: Sequence[Outcome]) -> str:
    rivals = _about_largest(outcomes)
    faster = len({one.speed for one in rivals}) > 1
    return " and is the fastest of those within 1 % of it" if faster else ""


def _fast_then_plain(outcome: Outcome) -> tuple[float, int, float]:
    return (-outcome.speed, *_plainness(outcome.candidate))


def _fast_then_large(outcome: Outcome) -> tuple[float, int, int, float]:
    return (-outcome.speed, -outcome.tokens, *_plainness(outcome.candidate))


def _plainness(candidate: Candidate) -> tuple[int, float]:
    """Place of the weights, plainest first, and the share of layers that recompute."""
    shares: dict[Checkpointing, float] = {"none": 0.0, "all": 1.0}
    checkpointing = candidate.checkpointing
    share = shares[checkpointing] if isinstance(checkpointing, str) else 1 / checkpointing
    return _PLAIN_FIRST.index(candidate.weights), share


def _named(outcome: Outcome) -> str:
    candidate = outcome.candidate
    return (
        f"{candidate.weights}, rank {candidate.rank}, {candidate.targets}, "
        f"checkpointing {candidate.checkpointing}"
    )
