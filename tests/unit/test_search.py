"""The search ends, asks for little, never takes what did not fit and comes near the optimum."""

import ast
import random
import statistics
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.data.tokens import PixelGeometry
from core.tune.reasons import explain
from core.tune.search import (
    MAX_PROBES,
    MAX_TRACES,
    Bounds,
    NotMonotoneError,
    Point,
    Trial,
    best_fit,
    next_bisection,
    next_probe,
    next_trace,
    prediction,
    solution,
)

GIB = 2**30
QWEN2_VL = PixelGeometry(patch=14, merge=2, min_pixels=3136)
TOLERANCE = 0.05


def photo_bounds(width: int, height: int) -> Bounds:
    """Every budget for one largest photo, in the grid steps of the model's own rule."""

    def fill(tokens: int) -> int:
        return QWEN2_VL.image_tokens(width, height, tokens * QWEN2_VL.pixels_a_token)

    ceiling = fill(2 * width * height)
    return Bounds(min(4, ceiling), ceiling, fill)


@dataclass
class Case:
    """A setup's predicted curve over the largest photo's tokens, and how far it is off."""

    bounds: Bounds
    curve: Callable[[int], int]
    limit: int
    ratio: float = 1.0
    offset: int = 0
    margin: float = 0.0
    peak_of_misfits: bool = False
    points: list[Point] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)

    def true_peak(self, tokens: int) -> int:
        return int(self.curve(self.bounds.fill(tokens)) * self.ratio) + self.offset

    def trace(self) -> None:
        while (tokens := self.next_trace()) is not None:
            assert self.bounds.floor <= tokens <= self.bounds.ceiling
            seen = {self.bounds.fill(point.tokens) for point in self.points}
            assert self.bounds.fill(tokens) not in seen
            self.points.append(Point(tokens, self.curve(self.bounds.fill(tokens))))

    def next_trace(self) -> int | None:
        return next_trace(self.points, self.limit, self.bounds, TOLERANCE, self.trials, self.margin)

    def probe(self, tokens: int) -> None:
        assert self.bounds.floor <= tokens <= self.bounds.ceiling
        assert self.bounds.fill(tokens) not in {self.bounds.fill(t.tokens) for t in self.trials}
        peak = self.true_peak(tokens)
        fits = peak <= self.limit
        self.trials.append(Trial(tokens, fits, peak if fits or self.peak_of_misfits else None))

    def run(self) -> int | None:
        while True:
            self.trace()
            predict = prediction(self.points, self.bounds)
            tokens = next_probe(
                self.trials, predict, self.bounds, self.limit, TOLERANCE, self.margin
            )
            if tokens is None:
                return best_fit(self.trials)
            self.probe(tokens)

    def optimum(self, limit: float) -> int | None:
        """The largest budget that truly fits ``limit`` bytes."""
        budgets = range(self.bounds.floor, self.bounds.ceiling + 1)
        fitting = bisect_right(budgets, limit, key=self.true_peak)
        return budgets[fitting - 1] if fitting else None

    def is_near(self, chosen: int | None, limit: float) -> bool:
        """Whether a choice is at least 95 % of the optimum, in the largest photo's tokens."""
        optimum = self.optimum(limit)
        if optimum is None or chosen is None:
            return optimum is None
        return self.bounds.fill(chosen) >= 0.95 * self.bounds.fill(optimum)


def affine_pieces(base: float, slopes: list[float], kinks: list[float]) -> Callable[[int], float]:
    """The convex curve that starts at ``base`` bytes and takes the next slope at every kink."""
    pieces = [(base, slopes[0])]
    for slope, kink in zip(slopes[1:], kinks, strict=True):
        start, before = pieces[-1]
        pieces.append((start + (before - slope) * kink, slope))
    return lambda tokens: max(start + slope * tokens for start, slope in pieces)


def draw_case(pick: random.Random, ratio: float, offset_share: float = 0.0) -> Case:
    """A photo of any size, one to three affine pieces, at times a quadratic one, and a limit."""
    bounds = photo_bounds(pick.randint(200, 4032), pick.randint(200, 3024))
    count = pick.randint(1, 3)
    kinks = sorted(pick.uniform(bounds.floor, bounds.ceiling) for _ in range(count - 1))
    slopes = sorted(pick.uniform(0.1, 3.0) * 2**20 for _ in range(count))
    affine = affine_pieces(pick.uniform(0.05, 8.0) * GIB, slopes, kinks)
    quadratic = pick.choice([0.0, 0.0, pick.uniform(0.0, 20.0)])

    def curve(tokens: int) -> int:
        return int(affine(tokens) + quadratic * tokens**2)

    smallest, largest = curve(bounds.floor), curve(bounds.ceiling)
    limit = int(smallest + pick.uniform(-0.05, 1.1) * (largest - smallest))
    return Case(bounds, curve, limit, ratio, int(offset_share * limit))


seeds = st.integers(0, 2**32).map(random.Random)


@given(seeds, st.floats(0.9, 1.1), st.floats(-0.1, 0.1), st.floats(0.0, 0.05), st.booleans())
@settings(deadline=None)
def test_whatever_the_error_it_ends_within_its_means_on_a_budget_that_fitted(
    pick: random.Random, ratio: float, offset: float, margin: float, peak_of_misfits: bool
) -> None:
    case = draw_case(pick, ratio, offset)
    case.margin, case.peak_of_misfits = margin, peak_of_misfits
    chosen = case.run()
    assert len(case.trials) <= MAX_PROBES
    assert len(case.points) <= MAX_TRACES
    if chosen is None:
        assert case.true_peak(case.bounds.floor) > case.limit
    else:
        assert case.true_peak(chosen) <= case.limit


@given(seeds)
@settings(deadline=None)
def test_an_exact_prediction_needs_one_probe_and_comes_within_tolerance(
    pick: random.Random,
) -> None:
    case = draw_case(pick, ratio=1.0)
    chosen = case.run()
    assert len(case.trials) == 1
    assert case.is_near(chosen, case.limit) or len(case.points) == MAX_TRACES


@given(seeds, st.floats(0.97, 1.03), st.floats(0.0, 0.03))
@settings(deadline=None)
def test_a_prediction_three_percent_off_still_comes_within_tolerance(
    pick: random.Random, ratio: float, margin: float
) -> None:
    case = draw_case(pick, ratio)
    case.margin = margin
    # Corrections take the safer of two readings of a measurement, which differ by this much.
    assert case.is_near(case.run(), case.limit * 0.998) or len(case.points) == MAX_TRACES


@pytest.mark.parametrize("margin", [0.0, 0.03])
def test_three_percent_off_takes_two_probes_as_a_rule(margin: float) -> None:
    pick = random.Random(20)
    probes, traces, near = [], [], []
    for _ in range(200):
        case = draw_case(pick, pick.uniform(0.97, 1.03))
        case.margin = margin
        near.append(case.is_near(case.run(), case.limit * 0.998))
        probes.append(len(case.trials))
        traces.append(len(case.points))
    assert statistics.median(probes) <= 2
    assert statistics.median(traces) <= 5
    assert statistics.fmean(near) >= 0.99


@given(seeds, st.floats(0.3, 0.9))
@settings(deadline=None)
def test_a_curve_that_rises_but_is_not_convex_is_searched_all_the_same(
    pick: random.Random, power: float
) -> None:
    case = draw_case(pick, ratio=1.0)
    convex = case.curve
    case.curve = lambda tokens: int(GIB * (convex(tokens) / GIB) ** power)
    smallest, largest = case.curve(case.bounds.floor), case.curve(case.bounds.ceiling)
    case.limit = (smallest + largest) // 2
    chosen = case.run()
    assert chosen is not None
    assert case.true_peak(chosen) <= case.limit


@given(seeds, st.integers(0, 2**40))
@settings(deadline=None)
def test_a_curve_that_falls_is_caught_and_bisection_takes_over(
    pick: random.Random, depth: int
) -> None:
    case = draw_case(pick, ratio=1.0)
    smallest, largest = case.curve(case.bounds.floor), case.curve(case.bounds.ceiling)
    case.points = [
        Point(case.bounds.ceiling, largest),
        Point(case.bounds.floor, largest + 1 + depth),
    ]
    assume(case.bounds.fill(case.bounds.floor) < case.bounds.ceiling)
    for ask in (
        lambda: next_trace(case.points, smallest, case.bounds, TOLERANCE),
        lambda: solution(case.points, smallest, case.bounds),
    ):
        with pytest.raises(NotMonotoneError, match=r"^Predicted memory falls from .* bisection\.$"):
            ask()
    while (tokens := next_bisection(case.trials, case.bounds, TOLERANCE)) is not None:
        case.probe(tokens)
    assert case.is_near(best_fit(case.trials), case.limit)


@given(seeds, st.data())
@settings(deadline=None)
def test_predictions_are_exact_at_points_and_never_below_a_convex_curve(
    pick: random.Random, data: st.DataObject
) -> None:
    case = draw_case(pick, ratio=1.0)
    budgets = st.integers(case.bounds.floor, case.bounds.ceiling)
    for tokens in {case.bounds.ceiling, *data.draw(st.sets(budgets, max_size=5))}:
        case.points.append(Point(tokens, case.curve(case.bounds.fill(tokens))))
    predict = prediction(case.points, case.bounds)
    assert all(predict(point.tokens) == point.peak for point in case.points)
    anywhere = data.draw(budgets)
    assert predict(anywhere) >= case.curve(case.bounds.fill(anywhere))


def affine_case(limit: float, ratio: float = 1.0) -> Case:
    """4 GiB of weights and 1 MiB a token, budgets of 4 to 16,384 tokens; limit in GiB."""
    return Case(Bounds(4, 16384), lambda tokens: 4 * GIB + tokens * 2**20, int(limit * GIB), ratio)


def test_a_ceiling_that_fits_takes_one_trace_and_one_probe() -> None:
    case = affine_case(20.0)
    assert case.run() == 16384
    assert (len(case.points), len(case.trials)) == (1, 1)


def test_a_straight_line_is_solved_by_a_third_trace_at_the_solution() -> None:
    case = affine_case(12.0)
    case.trace()
    assert [point.tokens for point in case.points] == [16384, 4, 8192]
    assert solution(case.points, case.limit, case.bounds) == 8192


def test_nothing_is_solved_where_the_floor_is_predicted_not_to_fit() -> None:
    case = affine_case(4.0)
    case.trace()
    assert [point.tokens for point in case.points] == [16384, 4]
    assert solution(case.points, case.limit, case.bounds) is None


def test_the_floor_is_probed_where_nothing_is_predicted_to_fit() -> None:
    assert affine_case(4.0, ratio=0.999).run() is not None
    case = affine_case(4.0)
    assert case.run() is None
    assert case.trials == [Trial(4, False)]


def test_a_fixed_budget_is_traced_and_probed_once() -> None:
    for limit, fits in ((12.0, True), (4.0, False)):
        case = affine_case(limit)
        case.bounds = Bounds(1280, 1280)
        case.run()
        assert len(case.points) == 1
        assert [(trial.tokens, trial.fits) for trial in case.trials] == [(1280, fits)]


def test_a_misfit_steps_down_in_predicted_bytes_and_the_fit_below_it_corrects() -> None:
    case = affine_case(12.0, ratio=1.02)
    chosen = case.run()
    assert [trial.fits for trial in case.trials] == [False, True, True]
    assert case.trials[1].tokens == int(12 * 0.95 * 1024) - 4096
    assert chosen == case.optimum(case.limit)


def test_without_any_fit_the_fourth_probe_goes_far_down() -> None:
    case = affine_case(12.0, ratio=1.9)
    chosen = case.run()
    assert [trial.fits for trial in case.trials] == [False, False, False, True]
    assert chosen is not None


def test_three_measured_misfits_are_not_believed_a_fourth_time() -> None:
    bounds = Bounds(4, 16384)
    predict = prediction([Point(4, 4 * GIB), Point(16384, 20 * GIB)], bounds)
    peaks = {8192: 13.0, 7000: 12.5, 6500: 12.2}
    trials = [Trial(tokens, False, int(peak * GIB)) for tokens, peak in peaks.items()]
    third = next_probe(trials[:2], predict, bounds, 12 * GIB, TOLERANCE)
    assert third is not None
    assert 6000 < third < 7000
    fourth = next_probe(trials, predict, bounds, 12 * GIB, TOLERANCE)
    assert fourth is not None
    assert predict(fourth) <= predict(6500) / 2 < predict(fourth + 1)


def test_a_misfit_within_tolerance_of_the_best_fit_ends_it() -> None:
    predict = prediction([Point(4, 4 * GIB), Point(16384, 20 * GIB)], Bounds(4, 16384))
    trials = [Trial(8400, False), Trial(8192, True)]
    assert next_probe(trials, predict, Bounds(4, 16384), 12 * GIB, TOLERANCE) is None


def test_a_misfit_that_contradicts_a_measurement_is_bisected_in_predicted_bytes() -> None:
    bounds = Bounds(4, 16384)
    predict = prediction([Point(4, 4 * GIB), Point(16384, 20 * GIB)], bounds)
    trials = [Trial(4096, True, 4 * GIB), Trial(8192, False)]
    tokens = next_probe(trials, predict, bounds, 12 * GIB, TOLERANCE)
    assert tokens is not None
    assert abs(predict(tokens) - (predict(4096) + predict(8192)) / 2) < 2**21


def test_the_margin_lowers_the_first_probe_alone() -> None:
    case = affine_case(12.0)
    case.margin = 0.1
    assert case.run() == 8192
    assert [trial.tokens for trial in case.trials] == [int(12 * 0.9 * 1024) - 4096, 8192]


def told(case: Case) -> tuple[str, ...]:
    case.run()
    return explain(case.points, case.trials, case.bounds, case.limit, TOLERANCE, 784)


def test_traces_probes_and_the_end_are_told_in_order() -> None:
    assert told(affine_case(12.0, ratio=0.97)) == (
        "The largest budget that the photos can fill, 12,845,056 pixels (16,384 image tokens), "
        "is predicted to take 20.00 of 12.00 GiB.",
        "The smallest budget, 3,136 pixels (4 image tokens), is predicted to take 4.00 of "
        "12.00 GiB.",
        "A budget of 6,422,528 pixels (8,192 image tokens) is predicted to take 12.00 of "
        "12.00 GiB.",
        "A budget of 6,711,040 pixels (8,560 image tokens) is predicted to take 12.36 of "
        "12.00 GiB.",
        "The largest budget that is predicted to fit is 6,422,528 pixels (8,192 image tokens).",
        "A probe of 6,422,528 pixels (8,192 image tokens) fits and measured 11.64 GiB, 3.0 % below "
        "the prediction; corrected, 6,711,040 pixels should fit.",
        "A probe of 6,711,040 pixels (8,560 image tokens) fits and measured 11.99 GiB, 3.0 % below "
        "the prediction.",
        "6,711,040 pixels fit, and the next step that might would gain less than 5 %.",
    )


def test_a_misfit_says_what_is_tried_next() -> None:
    assert told(affine_case(12.0, ratio=1.02))[-4] == (
        "A probe of 6,422,528 pixels (8,192 image tokens) needs more than 12.00 GiB; "
        "5,940,368 pixels are tried next."
    )
    case = affine_case(12.0, ratio=1.02)
    case.peak_of_misfits = True
    assert told(case)[-3] == (
        "A probe of 6,422,528 pixels (8,192 image tokens) does not fit: it measured 12.24 GiB, "
        "2.0 % above the prediction; corrected, 6,229,664 pixels should fit."
    )


@pytest.mark.parametrize(
    ("limit", "ratio", "fixed", "last"),
    [
        (20.0, 1.0, None, "12,845,056 pixels fit, and no photo of the data set fills more."),
        (12.0, 1.9, None, "678,160 pixels are the most that fitted in 4 probes."),
        (4.0, 1.0, None, "Nothing fits: 3,136 pixels are the least that a probe tried."),
        (12.0, 1.0, 1280, "The asked budget of 1,003,520 pixels fits."),
        (4.5, 1.0, 1280, "Nothing fits: 1,003,520 pixels are the least that a probe tried."),
    ],
)
def test_every_end_has_its_reason(limit: float, ratio: float, fixed: int | None, last: str) -> None:
    case = affine_case(limit, ratio)
    if fixed is not None:
        case.bounds = Bounds(fixed, fixed)
    assert told(case)[-1] == last


def test_a_plan_tells_its_traces_and_a_bisection_its_trials() -> None:
    case = affine_case(3.9)
    case.trace()
    plan = explain(case.points, (), case.bounds, case.limit, TOLERANCE, 784)
    assert plan[-1] == "No budget is predicted to fit 3.90 GiB."
    trials = (Trial(140, False), Trial(70, True, 80 * 2**20))
    assert explain((), trials, Bounds(4, 140), 112 * 2**20, TOLERANCE, 784) == (
        "A probe of 109,760 pixels (140 image tokens) needs more than 112 MiB; "
        "54,880 pixels are tried next.",
        "A probe of 54,880 pixels (70 image tokens) fits and measured 80 MiB.",
        "54,880 pixels fit, and the next step that might would gain less than 5 %.",
    )


@pytest.mark.parametrize("name", ["search", "space", "reasons"])
def test_the_search_imports_nothing_that_touches_the_world(name: str) -> None:
    source = Path(__file__).parents[2] / "core" / "tune" / f"{name}.py"
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    pure = {"bisect", "collections.abc", "dataclasses", "itertools", "math"}
    assert imported <= pure | {"core.errors", "core.tune.search"}
