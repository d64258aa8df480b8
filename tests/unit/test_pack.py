"""Packing is a pure function that loses nothing and stays inside the budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.data.pack import pack
from core.train.loading.step_plan import StepPlan

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=40)


@given(lengths, st.integers(1, 1000))
def test_every_sample_is_in_one_group_within_the_budget(found: list[int], budget: int) -> None:
    groups = pack(found, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(found)))
    for group in groups:
        assert sum(found[index] for index in group) <= budget or len(group) == 1
        assert group == sorted(group)
    assert groups == sorted(groups) == pack(found, budget)


@given(lengths, st.integers(500, 2000))
def test_it_is_near_the_fewest_groups(found: list[int], budget: int) -> None:
    fewest = -(-sum(found) // budget)
    assert len(pack(found, budget)) <= 11 / 9 * _optimal_bound(found, budget, fewest) + 6 / 9


def _optimal_bound(found: list[int], budget: int, fewest: int) -> int:
    """No packing has fewer groups: by volume, and by those that can't share a group."""
    return max(fewest, sum(length > budget / 2 for length in found))


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.integers(0, 1000))
def test_processes_share_the_rows_of_a_step(
    rows: int, batch: int, processes: int, seed: int
) -> None:
    sizes = np.random.default_rng(seed).integers(1, 300, rows)
    plans = [StepPlan(seed, batch, 300, sizes, rank, processes) for rank in range(processes)]
    alone = StepPlan(seed, batch, 300, sizes)
    for step in range(2 * alone.steps_an_epoch):
        together = []
        for plan in plans:
            groups, counts = plan.micro_batches(step)
            assert groups
            together += [row for group in groups for row in group] if counts else []
        whole, counts = alone.micro_batches(step)
        assert counts
        assert sorted(together) == sorted(row for group in whole for row in group)
        assert len(together) == alone.rows_in(step)
