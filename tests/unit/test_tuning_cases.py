"""What benchmarks/tune.py claims of random cases, on a few of them; and a curve that is a stair."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tune import Contest
from tuning_cases import draw_case

from core.data.tokens import PixelGeometry
from core.tune.search import MAX_PROBES, Bounds, Point, next_trace, solution

QWEN2_VL = PixelGeometry(patch=14, merge=2, min_pixels=3136)
TOLERANCE = 0.05


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of tiny operations wait for each other more than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("number", [7, 14, 20, 83])
def test_the_budget_is_near_the_optimum_after_few_probes_and_trains_on_the_worst_batch(
    tiny_families: dict[str, Path], number: int
) -> None:
    contest = Contest(draw_case(number, 0, tiny_families), seed=0)
    choice = contest.ours()
    assert choice.trials <= MAX_PROBES
    assert choice.share >= 1 - TOLERANCE
    assert choice.holds
    assert choice.holds_mixed is not False
    assert choice.off < 0.005


def test_a_step_of_padded_rows_does_not_hide_a_larger_budget() -> None:
    """Peaks of a real case: rows of 41 to 48 tokens take as much as one of 48."""

    def fill(tokens: int) -> int:
        return QWEN2_VL.image_tokens(71, 176, tokens * QWEN2_VL.pixels_a_token)

    peaks = {3: 10_017_792, 4: 10_020_352, 8: 10_029_568, 10: 10_173_440, 18: 10_409_472}
    bounds, limit = Bounds(4, 18, fill), 10_074_737
    points: list[Point] = []
    while tokens := next_trace(points, limit, bounds, TOLERANCE):
        points.append(Point(tokens, peaks[fill(tokens)]))
    chosen = solution(points, limit, bounds)
    assert chosen is not None
    assert fill(chosen) == 8
