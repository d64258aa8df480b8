"""What a search for the pixel budget decided and why, a sentence each; pure."""

from collections.abc import Sequence
from itertools import pairwise

from core.tune.search import (
    MAX_PROBES,
    Bounds,
    Point,
    Predict,
    Trial,
    best_fit,
    in_words,
    prediction,
    solution,
)


def explain(
    points: Sequence[Point],
    trials: Sequence[Trial],
    bounds: Bounds,
    limit: int,
    tolerance: float,
    pixels_a_token: int,
) -> tuple[str, ...]:
    """The traces and what they predict for ``limit`` bytes, then the probes, then why it ended.

    ``points`` may be empty where the search went without predictions; ``trials`` are empty in a
    plan. Raises NotMonotoneError if the points fall.
    """
    words = _Words(bounds, limit, pixels_a_token)
    told = [words.trace(point) for point in points]
    predict = prediction(points, bounds) if points else None
    if points:
        told.append(words.solved(solution(points, limit, bounds)))
    for trial, following in pairwise([*trials, None]):
        assert trial is not None
        told.append(words.trial(trial, following, predict))
    if trials:
        told.append(words.end(trials, tolerance))
    return tuple(told)


class _Words:
    """The sentences of one search."""

    def __init__(self, bounds: Bounds, limit: int, pixels_a_token: int) -> None:
        self._bounds = bounds
        self._limit = limit
        self._pixels_a_token = pixels_a_token

    def _pixels(self, tokens: int) -> str:
        return f"{tokens * self._pixels_a_token:,} pixels"

    def _budget(self, tokens: int) -> str:
        return f"{self._pixels(tokens)} ({self._bounds.fill(tokens):,} image tokens)"

    def trace(self, point: Point) -> str:
        """What was traced, and what it would take."""
        budget = self._budget(point.tokens)
        takes = f"is predicted to take {_of(point.peak, self._limit)}"
        fill = self._bounds.fill
        if self._bounds.floor == self._bounds.ceiling:
            return f"The asked budget of {budget} {takes}."
        if fill(point.tokens) == fill(self._bounds.ceiling):
            return f"The largest budget that the photos can fill, {budget}, {takes}."
        if fill(point.tokens) == fill(self._bounds.floor):
            return f"The smallest budget, {budget}, {takes}."
        return f"A budget of {budget} {takes}."

    def solved(self, tokens: int | None) -> str:
        """What the traces come to."""
        if tokens is None:
            return f"No budget is predicted to fit {in_words(self._limit)}."
        return f"The largest budget that is predicted to fit is {self._budget(tokens)}."

    def trial(self, trial: Trial, following: Trial | None, predict: Predict | None) -> str:
        """What a probe showed, and where that sent the next one."""
        learned = f"A probe of {self._budget(trial.tokens)} "
        if trial.peak is None:
            learned += "fits" if trial.fits else f"needs more than {in_words(self._limit)}"
        else:
            learned += "fits and " if trial.fits else "does not fit: it "
            learned += f"measured {in_words(trial.peak)}"
        if trial.peak is not None and predict is not None:
            learned += f", {_against(trial.peak, predict(trial.tokens))}"
        if following is None:
            return f"{learned}."
        if trial.peak is not None and predict is not None:
            return f"{learned}; corrected, {self._pixels(following.tokens)} should fit."
        return f"{learned}; {self._pixels(following.tokens)} are tried next."

    def end(self, trials: Sequence[Trial], tolerance: float) -> str:
        """Why no further probe was made."""
        best = best_fit(trials)
        if best is None:
            last = self._pixels(min(trial.tokens for trial in trials))
            return f"Nothing fits: {last} are the least that a probe tried."
        fill = self._bounds.fill
        if self._bounds.floor == self._bounds.ceiling:
            return f"The asked budget of {self._pixels(best)} fits."
        if fill(best) == fill(self._bounds.ceiling):
            return f"{self._pixels(best)} fit, and no photo of the data set fills more."
        if len(trials) == MAX_PROBES:
            return f"{self._pixels(best)} are the most that fitted in {MAX_PROBES} probes."
        return (
            f"{self._pixels(best)} fit, and the next step that might would gain less than "
            f"{tolerance * 100:.3g} %."
        )


def _of(size: int, limit: int) -> str:
    in_gib, in_mib = f"{size / 2**30:,.2f}", f"{size / 2**20:,.0f}"
    return f"{in_gib if limit >= 2**30 else in_mib} of {in_words(limit)}"


def _against(measured: int, predicted: int) -> str:
    share = abs(measured - predicted) / predicted * 100
    if share < 0.05:
        return "as predicted"
    return f"{share:.1f} % {'above' if measured > predicted else 'below'} the prediction"
