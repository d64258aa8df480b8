"""Binary search for the largest pixel budget that fits, as pure functions over trials."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """At a budget of ``image_tokens`` a photo, the worst case fitted or not."""

    image_tokens: int
    fits: bool


@dataclass(frozen=True)
class Bounds:
    """The least and the most image tokens a photo that make sense, both inclusive."""

    floor: int
    ceiling: int


def best_fit(trials: Sequence[Trial]) -> int | None:
    """The most image tokens that fitted."""
    return max((trial.image_tokens for trial in trials if trial.fits), default=None)


def least_misfit(trials: Sequence[Trial]) -> int | None:
    """The fewest image tokens that did not fit."""
    return min((trial.image_tokens for trial in trials if not trial.fits), default=None)


def next_trial(trials: Sequence[Trial], bounds: Bounds, tolerance: float) -> int | None:
    """Image tokens to try next, or None when the search is over.

    The ceiling comes first: where it fits there is nothing to search. Then the bracket is halved
    until it's no wider than ``tolerance`` of what fits. Ends with ``best_fit`` None only if the
    floor itself did not fit.
    """
    if not trials:
        return bounds.ceiling
    fits, misfit = best_fit(trials), least_misfit(trials)
    if misfit is None or misfit <= bounds.floor:
        return None
    below = bounds.floor - 1 if fits is None else fits
    if misfit - below <= 1 or (fits is not None and misfit - fits <= tolerance * fits):
        return None
    return (below + misfit) // 2


def explain(trial: Trial, worst_tokens: int, bounds: Bounds, pixels_a_token: int) -> str:
    """One sentence on what a trial decided; ``worst_tokens`` is the largest photo's share."""
    pixels = f"{trial.image_tokens * pixels_a_token:,}"
    name = f"A budget of {pixels} pixels (largest photo: {worst_tokens} image tokens)"
    if trial.fits and trial.image_tokens == bounds.ceiling:
        return f"{name} fits, and no photo of the data set is larger."
    return f"{name} fits." if trial.fits else f"{name} does not fit."
