"""Where to trace and where to probe for the largest pixel budget that fits, and why; pure.

A setup's peak memory in bytes rises with the image tokens of the largest photo and is convex: a
maximum of affine pieces. A trace predicts it, a probe measures it in a process of its own. Both
are asked for by a budget of tokens, and told of under that budget::

    points, trials = [], []
    while True:
        while tokens := next_trace(points, limit, bounds, tolerance, trials, margin):
            points.append(Point(tokens, trace(tokens)))
        predict = prediction(points, bounds)
        tokens = next_probe(trials, predict, bounds, limit, tolerance, margin)
        if tokens is None:
            break
        trials.append(probe(tokens))
    chosen = best_fit(trials)

The inner loop alone, with no trials, is a plan: ``solution(points, limit, bounds)``. It stands
inside the other because what a probe measures says where the curve has to be known. Where
NotMonotoneError comes out of it no prediction can be trusted, and the budget is found by
``next_bisection`` over trials. core.tune.reasons puts all of it into words.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.errors import KocrError

MAX_TRACES = 7
MAX_PROBES = 4
# Of the tolerance, the share that traces may leave open; the rest is for probes, which cost more.
_TRACED_SHARE = 0.2
# How far below the least misfit's prediction the next probe goes while nothing has fitted.
_STEPS_DOWN = (0.05, 0.15, 0.5)
# Rows are padded to a multiple of these tokens, which makes a stair of a curve seen from close by.
_STAIR = 8
# Where in the bracket of the solution the next trace goes: its upper end is the closer one.
_INSIDE = 0.7

Predict = Callable[[int], int]


class NotMonotoneError(KocrError):
    """Predicted memory falls where image tokens rise, so that predictions can't lead a search."""


def _all(tokens: int) -> int:
    return tokens


@dataclass(frozen=True)
class Bounds:
    """The least and the most tokens that make sense as a budget, both inclusive.

    ``fill`` gives the image tokens of the largest photo at a budget, and never falls as the budget
    rises; budgets at which they are the same behave alike.
    """

    floor: int
    ceiling: int
    fill: Callable[[int], int] = _all


@dataclass(frozen=True)
class Point:
    """At a budget of ``tokens``, the peak in bytes that was predicted."""

    tokens: int
    peak: int


@dataclass(frozen=True)
class Trial:
    """At a budget of ``tokens`` the worst case fitted or not; ``peak`` in bytes if it has one."""

    tokens: int
    fits: bool
    peak: int | None = None


def best_fit(trials: Sequence[Trial]) -> int | None:
    """The largest budget that fitted."""
    return max((trial.tokens for trial in trials if trial.fits), default=None)


def least_misfit(trials: Sequence[Trial]) -> int | None:
    """The smallest budget that did not fit."""
    return min((trial.tokens for trial in trials if not trial.fits), default=None)


def prediction(points: Sequence[Point], bounds: Bounds) -> Predict:
    """Predicted bytes at any budget up to the largest traced one.

    Between two points it's their chord, which is never below a convex curve; below the smallest
    it's that point's own bytes. Raises NotMonotoneError if the points fall.
    """
    curve = _curve(points, bounds)

    def predict(tokens: int) -> int:
        level = bounds.fill(tokens)
        above = bisect_left(curve, level, key=lambda point: point.tokens)
        if above == len(curve):
            raise ValueError(f"{tokens} tokens are above every traced budget")
        high = curve[above]
        low = curve[max(0, above - 1)]
        if high.tokens == low.tokens:
            return high.peak
        slack = (high.peak - low.peak) * (high.tokens - level) // (high.tokens - low.tokens)
        return high.peak - slack

    return predict


def solution(points: Sequence[Point], limit: int, bounds: Bounds) -> int | None:
    """The largest budget that is predicted to take at most ``limit`` bytes, None if there is none.

    Asks for the ceiling's point. Raises NotMonotoneError if the points fall.
    """
    predict = prediction(points, bounds)
    tokens = _last(bounds, lambda tokens: predict(tokens) <= limit)
    return tokens if tokens >= bounds.floor else None


def next_trace(
    points: Sequence[Point],
    limit: int,
    bounds: Bounds,
    tolerance: float,
    trials: Sequence[Trial] = (),
    margin: float = 0.0,
) -> int | None:
    """The budget to trace next, or None when the largest that takes ``limit`` bytes is known.

    Ceiling, floor, then the root of their chord. It ends when no budget can fit that is larger than
    ``solution`` by much of ``tolerance`` (a share), or after MAX_TRACES. With ``trials`` it looks
    for what the next probe should take (``margin`` as there), and first traces what was measured,
    so that it's held against a prediction of its own. Raises NotMonotoneError if the points fall.
    """
    curve = _curve(points, bounds)
    peaks = {point.tokens: point.peak for point in curve}
    if len(points) >= MAX_TRACES:
        return None
    measured = [trial.tokens for trial in trials if trial.peak is not None]
    for tokens in (bounds.ceiling, *measured):
        if bounds.fill(tokens) not in peaks:
            return tokens
    target = _target(trials, prediction(points, bounds), limit, margin)
    if curve[-1].peak <= target:
        return None
    if bounds.fill(bounds.floor) not in peaks:
        return bounds.floor
    return _between(curve, target, bounds, tolerance) if curve[0].peak <= target else None


def _between(curve: list[Point], limit: int, bounds: Bounds, tolerance: float) -> int | None:
    """The budget to trace between the best point that fits and the least that doesn't."""
    above = next(place for place, point in enumerate(curve) if point.peak > limit)
    best = curve[above - 1]
    safe_level = _root(best, curve[above], limit)
    most_level = curve[above].tokens - 1
    # A convex curve lies above the chords of its neighbours, which bounds what can fit.
    for low, high in (*pairwise(curve[:above][-2:]), *pairwise(curve[above : above + 2])):
        if low.peak < high.peak:
            most_level = min(most_level, _root(low, high, limit))
    safe = _last(bounds, lambda tokens: bounds.fill(tokens) <= safe_level)
    most = _last(bounds, lambda tokens: bounds.fill(tokens) <= max(most_level, best.tokens))
    if bounds.fill(most) <= bounds.fill(safe) * (1 + tolerance * _TRACED_SHARE):
        return _on_a_stair(bounds.fill(safe), curve[above], bounds, tolerance)
    if len(curve) == 2 and bounds.fill(safe) > best.tokens:
        return safe
    inside = safe + int((most - safe) * _INSIDE)
    return inside if bounds.fill(inside) > best.tokens else most


def _on_a_stair(safe: int, misfit: Point, bounds: Bounds, tolerance: float) -> int | None:
    """The least budget to gain much on a level of ``safe`` tokens, where a stair may hide it."""
    if safe * tolerance >= _STAIR:
        return None
    enough = safe * (1 + tolerance * _TRACED_SHARE)
    following = _last(bounds, lambda tokens: bounds.fill(tokens) <= enough) + 1
    return following if bounds.fill(following) < misfit.tokens else None


def _target(trials: Sequence[Trial], predict: Predict, limit: int, margin: float) -> int:
    """The predicted bytes that the next budget may take for its probe to be expected to fit.

    ``limit`` less ``margin`` at first. Then the measured trial nearest to the limit corrects it, by
    ratio or by difference, whichever is safer. Where a misfit contradicts that, halfway from it to
    the best fit, or a step below it where nothing has fitted.
    """
    measured = [(trial.tokens, trial.peak) for trial in trials if trial.peak is not None]
    target = limit if trials else int(limit * (1 - margin))
    if measured:
        tokens, peak = min(measured, key=lambda pair: abs(pair[1] - limit))
        target = min(limit * predict(tokens) // peak, limit - (peak - predict(tokens)))
    best, misfit = best_fit(trials), least_misfit(trials)
    if misfit is None:
        return target
    if best is not None:
        halfway = (predict(best) + predict(misfit)) // 2
        return target if target < predict(misfit) else halfway
    last = len(trials) == MAX_PROBES - 1
    if measured and target < predict(misfit) and not last:
        return target
    step = _STEPS_DOWN[min(len(trials), len(_STEPS_DOWN)) - 1]
    return min(target, int(predict(misfit) * (1 - step)))


def next_probe(
    trials: Sequence[Trial],
    predict: Predict,
    bounds: Bounds,
    limit: int,
    tolerance: float,
    margin: float = 0.0,
) -> int | None:
    """The budget to probe next, or None when the search is over: ``best_fit`` is the result.

    The largest budget that is expected to fit, the floor where none is: predicted to take ``limit``
    bytes less ``margin`` (a share) at first, then corrected by what was measured. It ends when that
    would gain less than ``tolerance`` (a share of the largest photo's tokens) on the best fit, when
    the floor does not fit, or after MAX_PROBES. Budgets of one fill are probed once.
    """
    undecided = _undecided(trials, bounds)
    if not undecided or len(trials) >= MAX_PROBES:
        return None
    best = best_fit(trials)
    target = _target(trials, predict, limit, margin)
    tokens = _last(bounds, lambda tokens: tokens < undecided.stop and predict(tokens) <= target)
    if best is None:
        return max(tokens, bounds.floor)
    enough = bounds.fill(best) * (1 + tolerance * (1 - _TRACED_SHARE))
    return tokens if tokens > best and bounds.fill(tokens) > enough else None


def next_bisection(trials: Sequence[Trial], bounds: Bounds, tolerance: float) -> int | None:
    """The budget to try next without any prediction, or None when the search is over.

    The ceiling first, then the middle of what is undecided, until no undecided budget gains more
    than ``tolerance`` on the best fit. Ends without a fit only if the floor does not fit.
    """
    undecided = _undecided(trials, bounds)
    if not undecided or not trials:
        return bounds.ceiling if undecided else None
    best = best_fit(trials)
    if best is not None and bounds.fill(undecided[-1]) <= bounds.fill(best) * (1 + tolerance):
        return None
    return undecided[(len(undecided) - 1) // 2]


def _undecided(trials: Sequence[Trial], bounds: Bounds) -> range:
    """Budgets that fill more than the best fit does and less than the least misfit does."""
    best, misfit = best_fit(trials), least_misfit(trials)
    start, stop = bounds.floor, bounds.ceiling + 1
    if best is not None:
        most = bounds.fill(best)
        start = _last(bounds, lambda tokens: bounds.fill(tokens) <= most) + 1
    if misfit is not None:
        least = bounds.fill(misfit)
        stop = _last(bounds, lambda tokens: bounds.fill(tokens) < least) + 1
    return range(start, stop)


def _curve(points: Sequence[Point], bounds: Bounds) -> list[Point]:
    """The points by the largest photo's image tokens."""
    peaks: dict[int, int] = {}
    for point in points:
        level = bounds.fill(point.tokens)
        peaks[level] = max(point.peak, peaks.get(level, 0))
    curve = [Point(level, peaks[level]) for level in sorted(peaks)]
    for low, high in pairwise(curve):
        if high.peak < low.peak:
            raise NotMonotoneError(
                f"Predicted memory falls from {in_words(low.peak)} at {low.tokens:,} image tokens "
                f"to {in_words(high.peak)} at {high.tokens:,}: the budget is found by bisection."
            )
    return curve


def _root(low: Point, high: Point, limit: int) -> int:
    """The whole tokens at which the line through two points reaches ``limit`` bytes."""
    rise, run = high.peak - low.peak, high.tokens - low.tokens
    return low.tokens + (limit - low.peak) * run // rise


def _last(bounds: Bounds, accept: Callable[[int], bool]) -> int:
    """The largest budget that is accepted, where every smaller one is, too; else floor - 1."""
    budgets = range(bounds.floor, bounds.ceiling + 1)
    return bounds.floor - 1 + bisect_left(budgets, True, key=lambda tokens: not accept(tokens))


def in_words(size: int) -> str:
    """Bytes as GiB, or as MiB where they are less than one."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
