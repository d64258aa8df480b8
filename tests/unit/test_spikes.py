"""A loss far above the usual is found, once in a while, whatever its scale."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.train.spikes import LEAST, QUIET_STEPS, SpikeWatch

LOSSES = st.lists(st.floats(0.001, 100), max_size=200)
CALM = st.lists(st.floats(1.0, 1.9), min_size=LEAST, max_size=80)


def spikes(losses: list[float]) -> dict[int, float]:
    watch = SpikeWatch()
    heard = {step: watch.hear(step, loss) for step, loss in enumerate(losses, start=1)}
    return {step: usual for step, usual in heard.items() if usual is not None}


@given(LOSSES)
def test_a_spike_is_at_least_twice_the_usual_and_seldom(losses: list[float]) -> None:
    found = spikes(losses)
    assert all(losses[step - 1] >= 2 * usual for step, usual in found.items())
    assert all(step > LEAST for step in found)
    steps = sorted(found)
    assert all(later - step > QUIET_STEPS for step, later in pairwise(steps))


@given(LOSSES, st.sampled_from([0.125, 0.5, 4.0]))
def test_the_scale_of_the_loss_does_not_matter(losses: list[float], scale: float) -> None:
    assert spikes([loss * scale for loss in losses]) == {
        step: usual * scale for step, usual in spikes(losses).items()
    }


@given(CALM)
def test_what_stays_in_its_range_is_no_spike_and_what_leaves_it_far_is(losses: list[float]) -> None:
    assert spikes(losses) == {}
    assert list(spikes([*losses, 4 * max(losses)])) == [len(losses) + 1]


def test_steps_that_are_done_again_are_heard_anew() -> None:
    watch = SpikeWatch()
    for step in range(1, 31):
        watch.hear(step, 1.0)
    assert watch.hear(31, 9.0) == 1.0
    watch.back_to(10)
    assert [watch.hear(step, 1.0) for step in range(11, 31)] == [None] * 20
    assert watch.hear(31, 9.0) == 1.0
