"""A few hundred cases of the fuzz run that benchmarks/fuzz_data.py does at length."""

import pytest
from fuzz_data import run_batch


@pytest.mark.parametrize("number", range(4))
def test_damaged_photos_and_rows_are_all_accounted_for(number: int) -> None:
    outcome = run_batch((20261124, number))
    assert outcome.problem is None
    assert outcome.rows >= 100
    assert outcome.used + outcome.set_aside.total() + outcome.replaced.total() == outcome.rows
    assert outcome.set_aside
    assert outcome.replaced
