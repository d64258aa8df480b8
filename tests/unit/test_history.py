"""Long runs in bounded memory: what is kept, and that every reader keeps the same."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import event_log, history
from core.evaluate.text import Score, Scores
from core.event_log import EventReader
from core.events import AnyEvent, Log, RolledBack, Scope, Step, TrainingStarted, Validated
from core.history import History, Thinned
from core.run_state import RunState


def step(number: int, loss: float = 1.0) -> Step:
    return Step(
        step=number, epoch=0.1, loss=loss, learning_rate=1e-4, grad_norm=1.0, samples=16 * number,
        label_tokens=160, samples_per_s=12.0, eta_s=100.0, data_ms=1, vision_ms=1, forward_ms=1,
        backward_ms=1, optimizer_ms=1, validation_ms=0, checkpoint_ms=0, tokens=900,
        tokens_per_s=700, utilisation=None, skipped=False, used_bytes=1, peak_bytes=2,
        limit_bytes=3,
    )  # fmt: skip


def training_from(number: int) -> TrainingStarted:
    return TrainingStarted(step=number, steps=9999, epochs=1, samples=9, trainable_parameters=1)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_groups_are_bounded_and_their_means_add_up(losses: list[float]) -> None:
    kept = History()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "KEPT_STEPS", 16)
        for number, loss in enumerate(losses, start=1):
            kept.add(step(number, loss))
    assert len(kept.steps) <= 16
    assert kept.steps[-1].step == len(losses)
    for (last, mean), before in zip(
        kept.losses(), [0, *(s.step for s in kept.steps)], strict=False
    ):
        group = losses[before:last]
        assert math.isclose(mean, sum(group) / len(group), abs_tol=1e-9)
        assert len(group) <= kept.width


def test_a_short_run_keeps_every_step_as_it_was() -> None:
    kept = History()
    steps = [step(number, number / 7) for number in range(1, 100)]
    for one in steps:
        kept.add(one)
    assert kept.steps == steps
    assert list(kept.losses()) == [(one.step, one.loss) for one in steps]


def test_a_loss_that_is_not_finite_is_no_part_of_the_mean() -> None:
    kept = History(width=4)
    for number, loss in enumerate((1.0, math.nan, 3.0, math.inf, math.nan), start=1):
        kept.add(step(number, loss))
    assert list(kept.losses()) == [(4, 2.0)]


def test_a_resume_takes_back_what_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_STEPS", 8)
    state = RunState()
    state.apply(training_from(0))
    for number in range(1, 30):
        state.apply(step(number))
    state.apply(training_from(21))
    assert all(one.step <= 21 for one in state.steps)
    assert state.step == 21
    state.apply(step(22))
    assert state.step == 22


@given(begun=st.integers(0, 30), done=st.integers(1, 60), back=st.integers(0, 60))
def test_curves_never_run_backwards_over_a_rollback(begun: int, done: int, back: int) -> None:
    state, last = RunState(), begun + done
    to_step = min(back, last)
    state.apply(training_from(begun))
    for number in range(begun + 1, last + 1):
        state.apply(step(number))
    state.apply(RolledBack(step=last, to_step=to_step, message="not finite"))
    assert state.step == to_step
    for number in range(to_step + 1, last + 3):
        state.apply(step(number, loss=2.0))
    numbers = [one.step for one in state.steps]
    assert numbers == sorted(set(numbers))
    assert state.step == last + 2
    assert all(loss == (2.0 if at > to_step else 1.0) for at, loss in state.history.losses())


@given(st.integers(1, 500), st.integers(2, 20))
def test_thinned_keeps_the_newest_and_even_gaps(count: int, most: int) -> None:
    kept: Thinned[int] = Thinned(most)
    for number in range(count):
        kept.add(number)
    assert kept.items[-1] == count - 1
    assert len(kept.items) <= most + 1
    gaps = {after - before for before, after in zip(kept.items, kept.items[1:-1], strict=False)}
    assert gaps <= {kept.stride}


def test_a_giant_backlog_is_thinned_of_what_is_told_often_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    events: list[AnyEvent] = []
    for number in range(1, 4001):
        events.append(step(number))
        events.append(scored(number, "rolling"))
        if number % 100 == 0:
            events += [Log(level="info", message=str(number)), scored(number, "selection")]
    lines = [msgspec.json.encode(event) + b"\n" for event in events]
    lines[1205:1205] = [b"not json\n"]
    path.write_bytes(b"".join(lines))
    assert EventReader(path).poll() == events
    monkeypatch.setattr(event_log, "WHOLE_BYTES", path.stat().st_size // 2)
    monkeypatch.setattr(event_log, "_BLOCK_BYTES", 1 << 14)
    reader = EventReader(path)
    thin = reader.poll()
    seldom = [one for one in events if isinstance(one, Log) or is_selection(one)]
    assert [one for one in thin if isinstance(one, Log) or is_selection(one)] == seldom
    steps = [event.step for event in thin if isinstance(event, Step)]
    assert 100 <= len(steps) <= 800
    assert steps == sorted(set(steps))
    assert thin[-20:] == events[-20:]
    with path.open("ab") as file:
        file.write(b"not json\n" + msgspec.json.encode(step(4001)) + b"\n")
    assert reader.poll() == [step(4001)]
    numbers = [problem.split(":")[0] for problem in reader.problems]
    assert numbers == ["events.jsonl line 1206", f"events.jsonl line {len(lines) + 1}"]


def scored(number: int, scope: Scope) -> Validated:
    part = Score.of(1, 2)
    scores = Scores(n=2, exact=part, normalized=part, similarity80=part)
    return Validated(step=number, scope=scope, scores=scores)


def is_selection(event: AnyEvent) -> bool:
    return isinstance(event, Validated) and event.scope == "selection"


def test_lines_that_straddle_blocks_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    events: list[AnyEvent] = [Log(level="info", message="간판" * size) for size in range(60)]
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events) + b'{"half')
    monkeypatch.setattr(event_log, "_BLOCK_BYTES", 37)
    assert EventReader(path).poll() == events
