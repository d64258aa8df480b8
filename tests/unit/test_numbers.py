"""Steps that are not finite are counted; the count survives in what a checkpoint keeps."""

import math
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import KocrError
from core.events import AnyEvent, NotFinite
from core.train.numbers import MOST_IN_A_ROW, Numbers, NumberWatch

BAD = [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (math.nan, math.nan)]


def hear(watch: NumberWatch, steps: range, loss: float = math.nan) -> None:
    for step in steps:
        watch.hear(step, loss, 1.0, scaled=False)


@given(st.lists(st.one_of(st.just((1.0, 1.0)), st.sampled_from(BAD))))
def test_each_is_told_with_how_many_there_were(figures: list[tuple[float, float]]) -> None:
    told: list[AnyEvent] = []
    watch = NumberWatch(told.append)
    good = [watch.hear(n, *pair, scaled=False) for n, pair in enumerate(figures, start=1)]
    assert good == [pair == (1.0, 1.0) for pair in figures]
    rows = [
        list(row) for is_good, row in groupby(enumerate(good, 1), lambda at: at[1]) if not is_good
    ]
    assert told == [
        NotFinite(
            step=step,
            what="gradient" if math.isfinite(figures[step - 1][0]) else "loss",
            in_a_row=place,
            total=total,
        )
        for total, (place, step) in enumerate(
            ((place, step) for row in rows for place, (step, _good) in enumerate(row, 1)), 1
        )
    ]
    assert watch.exhausted == (bool(rows) and not good[-1] and len(rows[-1]) >= MOST_IN_A_ROW)


def test_a_loss_scale_may_come_down_but_not_for_ever() -> None:
    told: list[AnyEvent] = []
    watch = NumberWatch(told.append)
    overflowed = [watch.hear(step, 1.0, math.inf, scaled=True) for step in range(1, 19)]
    assert overflowed == [True] * 17 + [False]
    assert watch.hear(19, 1.0, 1.0, scaled=True)
    assert watch.hear(20, 1.0, math.inf, scaled=True)
    assert not watch.hear(21, math.nan, math.nan, scaled=True)
    assert [event.what for event in told if isinstance(event, NotFinite)] == ["gradient", "loss"]


def test_going_back_passes_over_what_was_not_finite_and_a_second_time_ends() -> None:
    watch = NumberWatch(lambda _event: None)
    hear(watch, range(3, 4))
    hear(watch, range(4, 7), loss=1.0)
    hear(watch, range(7, 12))
    assert watch.exhausted
    told = watch.go_back(11, 2)
    assert (told.step, told.to_step) == (11, 2)
    assert told.message.endswith("3, 7-11")
    assert watch.state.passed_over == (3, 7, 8, 9, 10, 11)
    watch.saved(watch.kept(11))
    hear(watch, range(12, 17))
    with pytest.raises(
        KocrError, match=r"step 16: .* 5 steps in a row, and again .* step 2; lower"
    ):
        watch.go_back(16, 2)
    assert watch.state.total == 11


def test_a_checkpoint_beyond_the_steps_makes_going_back_possible_again() -> None:
    watch = NumberWatch(lambda _event: None)
    hear(watch, range(3, 8))
    watch.go_back(7, 1)
    hear(watch, range(8, 9), loss=1.0)
    watch.saved(watch.kept(8))
    assert watch.state == Numbers(total=5)
    hear(watch, range(9, 14))
    assert watch.go_back(13, 8).to_step == 8


def test_what_a_checkpoint_keeps_in_the_middle_of_a_row_goes_on_counting() -> None:
    watch = NumberWatch(lambda _event: None)
    hear(watch, range(3, 6))
    stored = msgspec.json.encode(watch.kept(5))
    resumed = NumberWatch(lambda _event: None)
    resumed.state = msgspec.json.decode(stored, type=Numbers)
    hear(resumed, range(6, 8))
    assert resumed.exhausted
    assert resumed.go_back(7, 2).message.endswith("3-7")


def test_overflows_are_counted_on_by_a_resume_and_begin_anew_after_going_back() -> None:
    watch = NumberWatch(lambda event: None)
    for step in range(1, 11):
        assert watch.hear(step, 1.0, math.inf, scaled=True)
    resumed = NumberWatch(lambda event: None)
    resumed.state = watch.kept(10)
    for step in range(11, 18):
        assert resumed.hear(step, 1.0, math.inf, scaled=True)
    assert not resumed.hear(18, 1.0, math.inf, scaled=True)
    for step in range(19, 23):
        resumed.hear(step, 1.0, math.inf, scaled=True)
    resumed.go_back(22, 10)
    assert resumed.hear(23, 1.0, math.inf, scaled=True)
