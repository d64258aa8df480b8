"""Sample order and schedule are pure functions of seed and step."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.data.order import (
    epoch_order,
    replacement,
    step_rows,
    steps_per_epoch,
    validation_order,
)
from core.train.schedule import learning_rate

sizes = st.integers(1, 200)


@given(st.integers(0, 2**31), st.integers(0, 50), sizes)
def test_every_epoch_visits_every_row_once(seed: int, epoch: int, rows: int) -> None:
    order = epoch_order(seed, epoch, rows)
    assert sorted(order.tolist()) == list(range(rows))
    assert np.array_equal(order, epoch_order(seed, epoch, rows))


@given(st.integers(0, 1000), sizes, st.integers(1, 32), st.integers(1, 3))
def test_steps_of_an_epoch_are_its_order_cut_up(
    seed: int, rows: int, batch: int, epochs: int
) -> None:
    steps = steps_per_epoch(rows, batch)
    for epoch in range(epochs):
        seen = [step_rows(seed, epoch * steps + step, rows, batch) for step in range(steps)]
        assert np.array_equal(np.concatenate(seen), epoch_order(seed, epoch, rows))
        assert all(len(part) == batch for part in seen[:-1])
        assert 1 <= len(seen[-1]) <= batch


def test_epochs_and_seeds_differ() -> None:
    first = epoch_order(0, 0, 100)
    assert not np.array_equal(first, epoch_order(0, 1, 100))
    assert not np.array_equal(first, epoch_order(1, 0, 100))
    assert not np.array_equal(first, validation_order(0, 100))


@given(st.integers(1, 5000), st.floats(0, 0.5), st.floats(1e-6, 1e-1))
def test_learning_rate_rises_to_its_peak_and_falls(steps: int, ratio: float, peak: float) -> None:
    rates = [learning_rate(step, steps, peak, ratio) for step in range(steps)]
    top = int(np.argmax(rates))
    assert 0 < max(rates) <= peak * (1 + 1e-12)
    assert all(a <= b for a, b in itertools.pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[top:]))
    assert rates[0] > 0


def test_learning_rate_by_hand() -> None:
    rates = [learning_rate(step, 10, 1.0, 0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert abs(rates[6] - 0.5) < 1e-12


@given(st.integers(0, 1000), st.integers(0, 5), st.integers(2, 200), st.data())
def test_replacements_are_other_rows_and_depend_on_nothing_else(
    seed: int, epoch: int, rows: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, rows - 1))
    tries = range(1, rows - rows // 2 + 1)
    taken = [replacement(seed, epoch, rows, index, attempt) for attempt in tries]
    assert len(set(taken)) == len(taken)
    assert index not in taken
    assert taken == [replacement(seed, epoch, rows, index, attempt) for attempt in tries]
