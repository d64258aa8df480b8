"""Checkpoints are whole or passed over; the best and the newest two are kept."""

from pathlib import Path

import pytest

from core.errors import KocrError
from core.train import checkpoint


def write_some(folder: Path) -> None:
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "state.json").write_text("{}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_checkpoint_verifies(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 7, write_some)
    assert path.name == "step-00000007"
    assert checkpoint.verify(path) is None
    assert checkpoint.newest(tmp_path) == (path, [])
    assert names(tmp_path) == ["step-00000007"]


def test_no_checkpoint_is_no_problem(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])
    assert checkpoint.newest(tmp_path / "missing") == (None, [])


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_named_and_the_older_one_taken(tmp_path: Path, name: str, damage: str) -> None:
    older = checkpoint.save(tmp_path, 1, write_some)
    newer = checkpoint.save(tmp_path, 2, write_some)
    file = newer / name
    content = file.read_bytes()
    match damage:
        case "flip":
            file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            file.write_bytes(content[:-1])
        case "delete":
            file.unlink()
    path, passed_over = checkpoint.newest(tmp_path)
    assert path == older
    assert passed_over == [f"step-00000002 is passed over: {name} is missing or damaged"]


def test_a_checkpoint_without_a_manifest_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "step-00000003").mkdir()
    write_some(tmp_path / "step-00000003")
    path, [line] = checkpoint.newest(tmp_path)
    assert path is None
    assert "manifest.json" in line


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    older = checkpoint.save(tmp_path, 1, write_some)

    def full_disk(folder: Path) -> None:
        write_some(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(KocrError, match=r"step-00000002: can't save .*No space left"):
        checkpoint.save(tmp_path, 2, full_disk)
    assert names(tmp_path) == ["step-00000001"]
    assert checkpoint.verify(older) is None


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, write_some)
    path = checkpoint.save(tmp_path, 1, lambda folder: (folder / "x").write_text("y") and None)
    assert names(path) == ["manifest.json", "x"]
    assert checkpoint.verify(path) is None


def test_the_best_and_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        checkpoint.save(tmp_path, step, write_some)
    (tmp_path / ".step-00000009.123").mkdir()
    checkpoint.retain(tmp_path, best_step=2)
    assert names(tmp_path) == ["step-00000002", "step-00000005", "step-00000006"]
