"""The search ends, respects its bounds and finds the largest budget within its tolerance."""

from hypothesis import given
from hypothesis import strategies as st

from core.tune.search import Bounds, Trial, best_fit, explain, next_trial


def search(largest: int, bounds: Bounds, tolerance: float) -> list[Trial]:
    trials: list[Trial] = []
    while (tokens := next_trial(trials, bounds, tolerance)) is not None:
        assert bounds.floor <= tokens <= bounds.ceiling
        assert tokens not in {trial.image_tokens for trial in trials}
        trials.append(Trial(tokens, tokens <= largest))
    return trials


@given(st.integers(1, 20000), st.integers(0, 20000), st.integers(0, 25000), st.floats(0.001, 0.5))
def test_finds_the_largest_within_tolerance(
    floor: int, span: int, largest: int, tolerance: float
) -> None:
    bounds = Bounds(floor, floor + span)
    trials = search(largest, bounds, tolerance)
    found = best_fit(trials)
    optimum = min(largest, bounds.ceiling)
    assert len(trials) <= 17
    if optimum < floor:
        assert found is None
        assert min(trial.image_tokens for trial in trials) == floor
    else:
        assert found is not None
        assert found <= optimum <= found + max(1, tolerance * found)


def test_one_probe_is_enough_when_everything_fits() -> None:
    assert search(500, Bounds(4, 140), 0.05) == [Trial(140, True)]


def test_a_fixed_budget_is_tried_once() -> None:
    assert search(10, Bounds(64, 64), 0.05) == [Trial(64, False)]


def test_decisions_are_explained() -> None:
    bounds = Bounds(4, 140)
    assert explain(Trial(100, False), 96, bounds, 784) == (
        "A budget of 78,400 pixels (largest photo: 96 image tokens) does not fit."
    )
    assert "no photo of the data set is larger" in explain(Trial(140, True), 140, bounds, 784)
