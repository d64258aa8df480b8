"""The best, the newest two sound ones and every so many steps the first are kept."""

from pathlib import Path

import msgspec
import pytest
from checkpoints import names, save_some, state_at, write_some
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.text import Scores
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import Best, TrainerState
from core.train.checkpoints.manifest import UnreadableError
from core.train.checkpoints.retention import Retention
from core.train.numbers import Numbers


def kept(folder: Path) -> list[int]:
    return [checkpoint.step_of(path) for path in checkpoint.in_order(folder)]


def cut(path: Path) -> None:
    """Damage that the size shows."""
    (path / "state.json").write_bytes(b"{")


def flip(path: Path) -> None:
    """Damage that only the hash shows."""
    file = path / "optimizer.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def save_with(folder: Path, step: int, best: int | None = None, in_a_row: int = 0) -> Path:
    """A checkpoint with a best, or after so many steps that were not finite."""
    state = msgspec.structs.replace(
        state_at(step),
        best=None if best is None else Best(step=best, scores=Scores.of([])),
        numbers=Numbers(in_a_row=in_a_row),
    )
    return checkpoint.save(folder, step, lambda into: write_some(into, step, state))


def test_the_newest_two_and_the_best_of_each_are_kept(tmp_path: Path) -> None:
    for step in range(1, 8):
        save_with(tmp_path, step, best=2 if step < 7 else 4)
    Retention(tmp_path, every=0).apply(7)
    assert kept(tmp_path) == [2, 4, 6, 7]


def test_what_training_can_go_back_to_is_kept_through_a_bad_streak(tmp_path: Path) -> None:
    for step, in_a_row in ((1, 0), (2, 0), (3, 1), (4, 2), (5, 3)):
        save_with(tmp_path, step, in_a_row=in_a_row)
    Retention(tmp_path, every=0).apply(5)
    assert kept(tmp_path) == [2, 4, 5]


def test_what_cannot_be_read_just_now_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, 6):
        save_some(tmp_path, step)
    check = checkpoint.check

    def failing(path: Path, *, hashes: bool = True) -> None:
        if checkpoint.step_of(path) in (3, 5):
            raise UnreadableError("it can't be read: Stale file handle")
        check(path, hashes=hashes)

    monkeypatch.setattr(checkpoint, "check", failing)
    Retention(tmp_path, every=0).apply(4)
    assert kept(tmp_path) == [2, 3, 4, 5]


def test_the_first_of_every_so_many_steps_is_kept_for_good(tmp_path: Path) -> None:
    retention = Retention(tmp_path, every=10)
    for step in (3, 7, 11, 14, 19, 20, 26, 41, 48, 49):
        retention.trust(save_some(tmp_path, step))
        retention.apply(step)
    assert kept(tmp_path) == [11, 20, 41, 48, 49]


@pytest.mark.parametrize("damage", [cut, flip])
def test_damaged_ones_are_not_counted_among_the_newest_two(tmp_path: Path, damage: object) -> None:
    paths = [save_some(tmp_path, step) for step in range(1, 6)]
    assert callable(damage)
    for path in paths[-2:]:
        damage(path)
    Retention(tmp_path, every=0).apply(5)
    assert kept(tmp_path) == [2, 3]


def test_nothing_is_deleted_while_nothing_is_sound(tmp_path: Path) -> None:
    for step in range(1, 5):
        cut(save_some(tmp_path, step))
    Retention(tmp_path, every=0).apply(4)
    assert kept(tmp_path) == [1, 2, 3, 4]


def test_the_only_one_that_verifies_is_never_deleted(tmp_path: Path) -> None:
    save_some(tmp_path, 1)
    for step in range(2, 5):
        flip(save_some(tmp_path, step))
    Retention(tmp_path, every=0).apply(4)
    assert kept(tmp_path) == [1]
    assert checkpoint.newest(tmp_path)[0] == tmp_path / "step-00000001"


def test_later_ones_that_a_resume_passed_over_go_only_where_they_are_damaged(
    tmp_path: Path,
) -> None:
    retention = Retention(tmp_path, every=0)
    for step in (1, 3, 4):
        save_some(tmp_path, step)
    flip(tmp_path / "step-00000004")
    retention.trust(tmp_path / "step-00000001")
    retention.trust(save_some(tmp_path, 2))
    retention.apply(2)
    assert kept(tmp_path) == [1, 2, 3]


def test_hashes_are_read_only_of_what_this_process_did_not_save(tmp_path: Path) -> None:
    """A trusted one is known by its size: other damage since then isn't looked for."""
    retention = Retention(tmp_path, every=0)
    for step in (1, 2, 3):
        path = save_some(tmp_path, step)
        retention.trust(path)
    flip(path)
    retention.apply(3)
    assert kept(tmp_path) == [2, 3]
    Retention(tmp_path, every=0).apply(3)
    assert kept(tmp_path) == [2]


def test_a_kept_step_is_kept_once(tmp_path: Path) -> None:
    for step in (1, 2):
        save_some(tmp_path, step)
    save_some(tmp_path / "aside", 2).rename(tmp_path / "step-00000002.replaced")
    Retention(tmp_path, every=0).apply(2)
    assert names(tmp_path) == ["aside", "step-00000001", "step-00000002"]


@given(
    steps=st.sets(st.integers(1, 60), min_size=1, max_size=12),
    every=st.integers(0, 20),
    sound=st.sets(st.integers(1, 60)),
    bad=st.sets(st.integers(1, 60)),
)
def test_whatever_is_damaged_the_newest_sound_ones_stay(
    tmp_path_factory: pytest.TempPathFactory,
    steps: set[int],
    every: int,
    sound: set[int],
    bad: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    for step in steps:
        (folder / f"step-{step:08d}").mkdir()

    def check(path: Path, *, hashes: bool = True) -> None:
        if checkpoint.step_of(path) not in sound:
            raise ValueError("damaged")

    def read_state(path: Path) -> TrainerState:
        step = checkpoint.step_of(path)
        return msgspec.structs.replace(state_at(step), numbers=Numbers(in_a_row=int(step in bad)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "check", check)
        patch.setattr(checkpoint, "read_state", read_state)
        Retention(folder, every).apply(60)
    left = set(kept(folder))
    assert left >= set(sorted(steps & sound)[-2:])
    assert left >= set(sorted((steps & sound) - bad)[-1:])
    if not steps & sound:
        assert left == steps
    if every == 0 and steps & sound:
        assert len(left) <= 3
