"""Which setups are tried, which of them lose to another, and which is taken for a goal."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.profile import load_profile
from core.tune.space import (
    ALL_CHECKPOINTING,
    Candidate,
    Fastest,
    Goal,
    Largest,
    Outcome,
    WithinHours,
    all_weights,
    choose,
    hours_an_epoch,
    space,
    undominated,
)

candidates = st.builds(
    Candidate,
    st.sampled_from(["bf16", "fp16", "fp32", "nf4"]),
    st.sampled_from([8, 16]),
    st.sampled_from(["language", "all"]),
    st.sampled_from(ALL_CHECKPOINTING),
)
outcomes = st.builds(Outcome, candidates, st.integers(4, 16384), st.none() | st.floats(0.01, 100.0))
goals: st.SearchStrategy[Goal] = st.one_of(
    st.just(Largest()),
    st.builds(WithinHours, st.floats(0.1, 1000.0), st.integers(1, 10**6)),
    st.builds(Fastest, st.integers(1, 16384)),
)


def outcome(
    tokens: int, speed: float | None, weights: str = "bf16", checkpointing: str | int = "none"
) -> Outcome:
    return Outcome(Candidate(weights, 16, "language", checkpointing), tokens, speed)


@pytest.mark.parametrize(
    ("profile", "weights"),
    [
        ("rtx4090", ("bf16", "nf4")),
        ("t4", ("fp16", "nf4")),
        ("cpu", ("fp32",)),
    ],
)
def test_a_card_plans_its_half_precision_and_four_bits_and_the_cpu_fp32(
    profile: str, weights: tuple[str, ...]
) -> None:
    assert all_weights(load_profile(profile).dtypes) == weights


def test_a_card_without_half_precision_plans_fp32() -> None:
    assert all_weights(("int8", "fp32")) == ("fp32",)


def test_the_space_has_every_combination_once_in_order() -> None:
    setups = space(("bf16", "nf4"), (16, 8, 16), ("language",), ALL_CHECKPOINTING)
    assert len(setups) == len(set(setups)) == 2 * 2 * 1 * 4
    assert setups[0] == Candidate("bf16", 16, "language", "none")
    assert [setup.checkpointing for setup in setups[:4]] == ["none", 4, 2, "all"]
    assert setups[-1] == Candidate("nf4", 8, "language", "all")


def test_a_setup_that_is_smaller_and_no_faster_is_dominated() -> None:
    large, fast = outcome(1000, 5.0), outcome(800, 6.0, "nf4")
    behind = [outcome(1000, 4.0, "nf4"), outcome(800, 5.0, "nf4", "all"), outcome(10, None)]
    assert undominated([behind[0], large, *behind[1:], fast]) == (large, fast)


def test_setups_of_other_ranks_or_targets_are_not_compared() -> None:
    best = outcome(1000, 5.0)
    others = (
        Outcome(Candidate("bf16", 8, "language", "none"), 10, 1.0),
        Outcome(Candidate("bf16", 16, "all", "none"), 10, 1.0),
    )
    assert undominated([best, *others]) == (best, *others)


def test_equal_setups_do_not_dominate_each_other() -> None:
    twins = (outcome(1000, 5.0), outcome(1000, 5.0, "nf4"))
    assert undominated(twins) == twins


@given(st.lists(outcomes))
def test_whatever_is_dropped_loses_to_something_that_stays(every: list[Outcome]) -> None:
    kept = undominated(every)
    assert set(kept) <= set(every)
    for dropped in set(every) - set(kept):
        assert any(
            (one.candidate.rank, one.candidate.targets)
            == (dropped.candidate.rank, dropped.candidate.targets)
            and one.tokens >= dropped.tokens
            and one.speed >= dropped.speed
            for one in kept
        )


@given(st.lists(outcomes, min_size=1), goals)
def test_no_goal_takes_a_setup_that_another_beats_in_speed_by_its_own_terms(
    every: list[Outcome], goal: Goal
) -> None:
    taken = choose(every, goal).outcome
    assert taken in every
    assert taken is not None
    most = max(one.tokens for one in every)
    if isinstance(goal, Largest):
        assert taken.tokens >= 0.99 * most
        assert all(one.speed <= taken.speed for one in every if one.tokens >= taken.tokens)
    elif isinstance(goal, WithinHours):
        in_time = [one for one in every if hours_an_epoch(one, goal.rows) <= goal.hours]
        assert taken in in_time or not in_time
        if not in_time:
            assert taken.speed == max(one.speed for one in every)
        else:
            assert taken.tokens >= 0.99 * max(one.tokens for one in in_time)
    else:
        large = [one for one in every if one.tokens >= goal.floor]
        assert taken.speed == max((one.speed for one in large), default=taken.speed)
        assert taken in large or not large


@given(st.lists(outcomes, min_size=1, max_size=6), goals)
def test_the_choice_does_not_depend_on_the_order(every: list[Outcome], goal: Goal) -> None:
    best = choose(every, goal).outcome
    assert best is not None
    for shuffled in itertools.islice(itertools.permutations(every), 24):
        other = choose(shuffled, goal).outcome
        assert other is not None
        assert (other.speed, other.candidate.weights, other.candidate.checkpointing) == (
            best.speed,
            best.candidate.weights,
            best.candidate.checkpointing,
        )


def test_the_largest_budget_is_taken_and_within_one_percent_the_fastest() -> None:
    largest, close, smaller = outcome(1000, 2.0), outcome(991, 3.0, "nf4"), outcome(989, 9.0)
    assert choose([largest, smaller], Largest()).outcome is largest
    assert choose([largest, close, smaller], Largest()) == (
        choose([smaller, close, largest], Largest())
    )
    assert choose([largest, close, smaller], Largest()).why == (
        "nf4, rank 16, language, checkpointing none has the largest pixel budget and is the "
        "fastest of those within 1 % of it."
    )
    assert choose([largest, smaller], Largest()).why == (
        "bf16, rank 16, language, checkpointing none has the largest pixel budget."
    )


def test_ties_go_to_plainer_weights_then_to_less_recomputing() -> None:
    ordered = [
        outcome(1000, None, weights, checkpointing)
        for weights in ("bf16", "nf4")
        for checkpointing in ALL_CHECKPOINTING
    ]
    while ordered:
        assert choose(ordered[::-1], Largest()).outcome is ordered[0]
        ordered.pop(0)


def test_the_largest_budget_that_ends_an_epoch_in_time_is_taken() -> None:
    slow, quick = outcome(1000, 1.0), outcome(500, 10.0, "nf4")
    assert hours_an_epoch(quick, 36000) == 1.0
    assert choose([slow, quick], WithinHours(10.0, 36000)).outcome is slow
    choice = choose([slow, quick], WithinHours(9.0, 36000))
    assert choice.outcome is quick
    assert choice.why == (
        "nf4, rank 16, language, checkpointing none has the largest pixel budget that ends an "
        "epoch within 9 hours: 1."
    )


def test_where_nothing_ends_in_time_the_fastest_is_taken_and_said() -> None:
    choice = choose([outcome(1000, 1.0), outcome(500, 10.0, "nf4")], WithinHours(0.5, 36000))
    assert choice.outcome == outcome(500, 10.0, "nf4")
    assert choice.why == (
        "No setup ends an epoch within 0.5 hours; nf4, rank 16, language, checkpointing none is "
        "the fastest and takes 1."
    )
    unknown = choose([outcome(1000, None)], WithinHours(0.5, 36000))
    assert unknown.why.endswith("is the fastest and has no known speed.")


def test_the_fastest_from_a_floor_on_is_taken() -> None:
    every = [outcome(1000, 1.0), outcome(500, 3.0), outcome(100, 10.0, "nf4")]
    choice = choose(every, Fastest(floor=500))
    assert choice.outcome is every[1]
    assert choice.why == (
        "bf16, rank 16, language, checkpointing none has the most samples a second of budgets "
        "from 500 image tokens."
    )
    assert choose(every, Fastest()).outcome is every[2]


def test_a_floor_that_nothing_reaches_takes_the_largest_and_says_so() -> None:
    choice = choose([outcome(100, 10.0), outcome(500, 3.0)], Fastest(floor=800))
    assert choice.outcome == outcome(500, 3.0)
    assert choice.why == (
        "No setup reaches 800 image tokens; bf16, rank 16, language, checkpointing none comes "
        "closest with 500."
    )


@pytest.mark.parametrize("goal", [Largest(), WithinHours(1.0, 10), Fastest(4)])
def test_without_any_setup_there_is_no_choice(goal: Goal) -> None:
    choice = choose([], goal)
    assert choice.outcome is None
    assert choice.why == "No setup fits, not even at the smallest pixel budget."
