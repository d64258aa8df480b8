"""What readings of a card add up to."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import CardTrouble
from core.hardware.nvml import Card, Repair
from core.hardware.nvml.throttle import HARMFUL
from core.hardware.nvml.xid import is_fatal
from core.train.cards.health import QUIET_SECONDS, CardHealth

HOT = "too hot (hardware)"
L4 = Card(index=1, uuid="GPU-1", name="NVIDIA L4", ecc_errors=3, temperature_c=90)
RESET = Repair(words="the driver asks for a reset", urgent=True)
LATER = Repair(words="a faulty memory row waits for a reset to be remapped", urgent=False)


def reading(*reasons: str, ecc: int | None = 3, lost: bool = False) -> Card:
    return Card(
        index=1, name="NVIDIA L4", throttle_reasons=reasons, ecc_errors=ecc, temperature_c=90,
        lost=lost,
    )  # fmt: skip


@pytest.mark.parametrize("code", [46, 48, 62, 64, 79, 95, 109, 110, 119, 120, 140, 143, 156, 158])
def test_errors_that_take_a_reset_end_the_run(code: int) -> None:
    assert is_fatal(code)
    health = CardHealth(L4)
    [told] = health.hear_xids([code], None, 0)
    assert (told.what, told.codes) == ("xid", (code,))
    assert health.verdict is not None
    assert f"NVIDIA L4 (GPU 1): Xid {code} (" in health.verdict
    assert "then resume" in health.verdict
    assert ("nvidia-smi -r -i 1" in health.verdict) == (code != 79)


@pytest.mark.parametrize("code", [13, 31, 43, 45, 61, 63, 74, 92, 94, 136, 154, 155, 999])
def test_other_errors_are_told_and_the_run_goes_on(code: int) -> None:
    assert not is_fatal(code)
    health = CardHealth(L4)
    [told] = health.hear_xids([code], LATER, 0)
    assert told.message.startswith(f"NVIDIA L4 (GPU 1): Xid error {code}")
    assert health.verdict is None


def test_a_fatal_error_that_hides_behind_its_followers_is_seen_by_what_the_driver_wants() -> None:
    health = CardHealth(L4)
    list(health.hear_xids([45, 45], RESET, 0))
    assert health.verdict is not None
    assert "the driver asks for a reset" in health.verdict


def test_what_the_driver_wants_ends_nothing_where_no_error_came() -> None:
    health = CardHealth(L4)
    assert list(health.hear_xids([], RESET, 0)) == []
    assert health.verdict is None


def test_an_error_that_comes_again_and_again_is_told_once_a_minute() -> None:
    health = CardHealth(L4)
    told = [list(health.hear_xids([31, 31], None, now)) for now in (0, 30, 59, 60, 61)]
    assert [[one.codes for one in each] for each in told] == [[(31,)], [], [], [(31,)], []]


def test_a_lost_card_is_told_once_and_ends_the_run() -> None:
    health = CardHealth(L4)
    told = [one for now in range(3) for one in health.hear(reading(lost=True), now)]
    assert [one.what for one in told] == ["lost"]
    assert health.verdict is not None
    assert "NVIDIA L4 (GPU 1): the driver no longer reaches it; reset it" in health.verdict


def test_the_first_reason_stands() -> None:
    health = CardHealth(L4)
    list(health.hear_xids([79], None, 0))
    list(health.hear(reading(lost=True), 0))
    assert health.verdict is not None
    assert "Xid 79" in health.verdict


def test_new_memory_errors_are_told_and_old_ones_are_not() -> None:
    health = CardHealth(L4)
    told = [one for ecc in (3, 3, None, 5, 5) for one in health.hear(reading(ecc=ecc), 0)]
    assert [one.what for one in told] == ["memory-errors"]
    assert told[0].message.endswith("2 new, 5 since the driver was loaded")
    assert health.verdict is None


def test_a_card_that_throttles_is_told_and_so_is_its_recovery() -> None:
    health = CardHealth(L4)
    steps = [(0, ()), (2, ("power cap",)), (4, (HOT,)), (6, (HOT,)), (70, ()), (72, ())]
    told = [(now, one) for now, why in steps for one in health.hear(reading(*why), now)]
    assert [(now, one.what) for now, one in told] == [(4, "throttled"), (70, "recovered")]
    assert told[0][1].message == f"NVIDIA L4 (GPU 1): its clocks are held down at 90 °C: {HOT}"


def test_a_card_that_does_not_tell_why_is_as_it_was() -> None:
    health = CardHealth(L4)
    list(health.hear(reading(HOT), 0))
    silent = Card(name="NVIDIA L4", throttle_reasons=None)
    assert list(health.hear(silent, 2 * QUIET_SECONDS)) == []


@given(
    st.lists(
        st.tuples(st.floats(0.1, 40), st.sets(st.sampled_from([*sorted(HARMFUL), "power cap"])))
    )
)
def test_throttling_is_told_at_most_once_a_minute_only_when_it_changed_and_in_the_end(
    changes: list[tuple[float, set[str]]],
) -> None:
    health, now = CardHealth(L4), 0.0
    told: list[tuple[float, CardTrouble]] = []
    for seconds, why in changes:
        now += seconds
        told += [(now, one) for one in health.hear(reading(*sorted(why)), now)]
    times = [at for at, _one in told]
    assert all(later - earlier >= QUIET_SECONDS for earlier, later in pairwise(times))
    messages = [one.message for _at, one in told]
    assert all(earlier != later for earlier, later in pairwise(messages))
    last = changes[-1][1] & HARMFUL if changes else set()
    told += [(now, one) for one in health.hear(reading(*sorted(last)), now + QUIET_SECONDS)]
    known = told[-1][1] if told else None
    assert (known is not None and known.what == "throttled") == bool(last)
    assert all(reason in known.message for reason in last if known is not None)
