"""Curves of several runs on one pair of axes, and where their letters stand; pure."""

import math
from collections.abc import Sequence
from typing import Literal

from kocr_tui.views.comparison import Compared
from kocr_tui.views.comparison_scores import MEASURES, score_of

Axis = Literal["step", "samples"]
Point = tuple[float, float]
Range = tuple[float, float]
CURVES = ("loss", *MEASURES)
SHOWN_SHARE = 0.98
LEAST_PERCENT = 20.0


def axis_of(runs: Sequence[Compared]) -> Axis:
    """Steps, or samples where a step is not as many samples in all runs."""
    return "samples" if len({run.batch for run in runs if run.batch}) > 1 else "step"


def curve(run: Compared, measure: str, axis: Axis) -> list[Point]:
    """The points of a run: losses, or rolling scores in percent, over steps or samples."""
    factor = float(run.batch or 1) if axis == "samples" else 1.0
    if measure == "loss":
        return [(step * factor, loss) for step, loss in run.losses]
    scored = [(at.step * factor, score_of(at, measure)) for at in run.rolling]
    return [(x, (score.value or 0.0) * 100) for x, score in scored if score is not None]


def loss_range(curves: Sequence[Sequence[Point]], *, whole: bool) -> Range:
    """From 0 to the most loss but for the first giants; where zoomed, from the least loss."""
    ranked = sorted(y for points in curves for _x, y in points)
    if not ranked:
        return 0.0, 1.0
    if whole:
        return 0.0, _rounded_up(ranked[int((len(ranked) - 1) * SHOWN_SHARE)])
    spare = (ranked[-1] - ranked[0]) * 0.05 or 0.5
    return max(0.0, ranked[0] - spare), ranked[-1] + spare


def _rounded_up(most: float) -> float:
    """A round number from ``most`` on, so that one step more seldom moves the whole chart."""
    if most <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most)) / 5
    return math.ceil(most / unit) * unit


def log_range(curves: Sequence[Sequence[Point]]) -> Range:
    """From a little below the least positive loss to a little above the most."""
    positive = [y for points in curves for _x, y in points if y > 0]
    return (min(positive) / 1.1, max(positive) * 1.1) if positive else (0.1, 1.0)


def percent_range(curves: Sequence[Sequence[Point]]) -> Range:
    """Whole tens around the scores, at least 20 percent points, within 0 to 100."""
    ys = [y for points in curves for _x, y in points]
    if not ys:
        return 0.0, 100.0
    low, high = math.floor(min(ys) / 10) * 10.0, math.ceil(max(ys) / 10) * 10.0
    if high - low < LEAST_PERCENT:
        low = max(0.0, high - LEAST_PERCENT)
        high = low + LEAST_PERCENT
    return low, high


def logarithms(points: Sequence[Point]) -> list[Point]:
    """The points with the logarithms of their values; those without one are left out."""
    return [(x, math.log10(y)) for x, y in points if y > 0]


def twins(curves: Sequence[Sequence[Point]]) -> list[int | None]:
    """For each curve the first one before it that is the same, None where there is none."""
    found: list[int | None] = []
    for index, points in enumerate(curves):
        same = (other for other in range(index) if list(curves[other]) == list(points))
        found.append(next(same, None) if points else None)
    return found


def letter_cells(
    ends: Sequence[tuple[int, int] | None], columns: int, rows: int
) -> list[tuple[int, int] | None]:
    """Cells for letters beside the cells where lines end, no two in one place.

    ``ends`` and what is returned are (column, row); None for a run without a line.
    """
    taken: set[tuple[int, int]] = set()
    cells: list[tuple[int, int] | None] = []
    for end in ends:
        if end is None:
            cells.append(None)
            continue
        column = min(columns - 1, end[0] + 1)
        near = sorted((abs(row - end[1]), row) for row in range(rows))
        free = [(column, row) for _away, row in near if (column, row) not in taken]
        place = free[0] if free else (column, end[1])
        taken.add(place)
        cells.append(place)
    return cells
