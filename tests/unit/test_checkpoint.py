"""Checkpoints are whole or passed over, at whatever moment a save is cut off."""

import ast
import json
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
import torch
from checkpoints import names, reseal, save_some, state_at, write_some
from faults import Disk, Killed, failures, fill, small_disk
from learners import Signs
from safetensors.torch import load_file, save_file

from core.errors import KocrError, UnfitError
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import SaveError
from core.train.learner import Learner

OLDER, NEWER = "step-00000001", "step-00000002"
REAL_FILES = [
    "adapter/README.md",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "manifest.json",
    "optimizer.safetensors",
    "state.json",
]


@pytest.fixture(scope="module")
def learner(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    """A real adapter and optimizer after a step."""
    home = tmp_path_factory.mktemp("signs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOCR_HOME", str(home))
        signs = Signs(home, tiny_model_folder)
        with signs.learner(signs.job()) as (learner, _device):
            learner.learn(0, next(iter(learner.steps_from(0))))
            yield learner


@pytest.fixture(scope="module")
def real(learner: Learner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real checkpoints in a folder that no test changes."""
    folder = tmp_path_factory.mktemp("real") / "checkpoints"

    def write(into: Path, step: int) -> None:
        learner.write(into)
        (into / "state.json").write_bytes(msgspec.json.encode(state_at(step)))

    for step in (1, 2):
        checkpoint.save(folder, step, lambda into, step=step: write(into, step))  # type: ignore[misc]
    return folder


@pytest.fixture
def folder(real: Path, tmp_path: Path) -> Path:
    """A copy of the real checkpoints."""
    return Path(shutil.copytree(real, tmp_path / "checkpoints"))


def passed_over(folder: Path) -> str:
    """What is said of the newer checkpoint, the older one being taken."""
    path, lines = checkpoint.newest(folder)
    assert path == folder / OLDER
    [line] = lines
    assert line.startswith(f"{NEWER} is passed over: ")
    return line


def test_a_saved_checkpoint_verifies(tmp_path: Path) -> None:
    path = save_some(tmp_path / "checkpoints", 7)
    assert path.name == "step-00000007"
    assert checkpoint.verify(path) is None
    assert checkpoint.newest(path.parent) == (path, [])
    assert names(path.parent) == ["step-00000007"]


def test_no_checkpoint_is_no_problem(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])
    assert checkpoint.newest(tmp_path / "missing") == (None, [])


def test_a_real_checkpoint_has_these_files(real: Path) -> None:
    found = [path.relative_to(real / NEWER) for path in (real / NEWER).rglob("*") if path.is_file()]
    assert sorted(map(str, found)) == REAL_FILES
    assert checkpoint.newest(real) == (real / NEWER, [])


@pytest.mark.parametrize("name", REAL_FILES)
def test_every_damage_is_named_and_the_older_one_taken(folder: Path, name: str) -> None:
    file = folder / NEWER / name
    content = file.read_bytes()
    places = sorted({0, 8, len(content) // 2, len(content) - 1})
    flipped = [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in places
    ]
    for damaged in (*flipped, *(content[:place] for place in places), content + b"\n"):
        if name == "manifest.json" and damaged == content + b"\n":
            continue
        file.write_bytes(damaged)
        assert name in passed_over(folder) or name == "manifest.json"
    file.unlink()
    assert name in passed_over(folder)
    file.write_bytes(content)
    assert checkpoint.newest(folder) == (folder / NEWER, [])


def test_a_folder_without_a_manifest_is_passed_over(folder: Path) -> None:
    (folder / NEWER / "manifest.json").unlink()
    assert "manifest.json" in passed_over(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("optimizer.pt", "optimizer.pt is no JSON, safetensors or Markdown file"),
        ("adapter/adapter_model.bin", "adapter_model.bin is no JSON"),
        ("notes.md", "notes.md is not in manifest.json"),
        ("adapter/more.safetensors", "adapter/more.safetensors is not in manifest.json"),
    ],
)
def test_what_does_not_belong_in_a_checkpoint_is_refused(
    folder: Path, name: str, words: str
) -> None:
    (folder / NEWER / name).write_bytes(b"?")
    assert words in passed_over(folder)


@pytest.mark.parametrize("name", ["state.json", "manifest.json", "adapter"])
def test_symlinks_are_refused_wherever_they_lead(folder: Path, name: str) -> None:
    path = folder / NEWER / name
    elsewhere = path.rename(folder.parent / "elsewhere")
    path.symlink_to(elsewhere)
    assert "symlink" in passed_over(folder)


def test_a_checkpoint_that_is_a_symlink_is_refused(folder: Path) -> None:
    elsewhere = (folder / NEWER).rename(folder.parent / "elsewhere")
    (folder / NEWER).symlink_to(elsewhere)
    assert "symlink" in passed_over(folder)


@pytest.mark.parametrize("name", ["../step-00000001/state.json", "/etc/hostname", "./state.json"])
def test_a_manifest_that_leads_outside_is_refused(folder: Path, name: str) -> None:
    file = folder / NEWER / "manifest.json"
    content = json.loads(file.read_bytes())
    content["files"][name] = content["files"]["state.json"]
    file.write_text(json.dumps(content))
    assert f"manifest.json: {name!r} is no path in the folder" in passed_over(folder)


def test_a_manifest_as_large_as_a_disk_is_not_read(folder: Path) -> None:
    os.truncate(folder / NEWER / "manifest.json", 1 << 40)
    assert "too large" in passed_over(folder)


@pytest.mark.parametrize("name", ["optimizer.safetensors", "adapter/adapter_model.safetensors"])
def test_a_tensor_larger_than_its_file_is_refused_though_the_hash_is_right(
    folder: Path, name: str
) -> None:
    tensor = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}
    head = json.dumps({"weight": tensor}).encode()
    (folder / NEWER / name).write_bytes(len(head).to_bytes(8, "little") + head + bytes(64))
    reseal(folder / NEWER)
    assert name in passed_over(folder)


def test_a_state_that_makes_no_sense_is_refused_though_the_hash_is_right(folder: Path) -> None:
    (folder / NEWER / "state.json").write_text('{"step": "many"}')
    reseal(folder / NEWER)
    assert "state.json: " in passed_over(folder)


@pytest.mark.parametrize("name", ["optimizer.safetensors", "adapter/adapter_model.safetensors"])
@pytest.mark.parametrize("change", ["shape", "missing", "unknown"])
def test_tensors_of_another_model_are_passed_over_for_an_older_checkpoint(
    folder: Path, learner: Learner, name: str, change: str
) -> None:
    file = folder / NEWER / name
    tensors = load_file(file)
    first = sorted(tensors)[0]
    if change == "missing":
        del tensors[first]
    else:
        tensors[first if change == "shape" else "x"] = torch.zeros(5, 5)
    save_file(tensors, file)
    reseal(folder / NEWER)
    path, [line] = checkpoint.newest(folder, learner.read)
    assert path == folder / OLDER
    assert ("x" if change == "unknown" else first) in line
    shutil.rmtree(folder / OLDER)
    with pytest.raises(KocrError, match="no checkpoint can be gone on from") as refused:
        checkpoint.newest(folder, learner.read)
    assert not isinstance(refused.value, UnfitError)


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("name", ["optimizer.pt", "optimizer.bin", "optimizer.pkl"])
def test_a_pickle_in_a_checkpoint_is_never_opened(
    folder: Path, learner: Learner, name: str, listed: bool
) -> None:
    trap = folder.parent / "sprung"
    (folder / NEWER / name).write_bytes(pickle.dumps(Trap(trap)))
    if listed:
        reseal(folder / NEWER)
    opened: list[str] = []
    watched = [opened]
    sys.addaudithook(lambda event, about: _note(watched, event, about))
    path, [line] = checkpoint.newest(folder, learner.read)
    watched.clear()
    assert path == folder / OLDER
    assert f"{name} is no JSON" in line
    assert any(file.endswith("state.json") for file in opened)
    assert not any(file.endswith(name) for file in opened)
    assert not trap.exists()


def _note(watched: list[list[str]], event: str, about: tuple[object, ...]) -> None:
    """An audit hook stays for good, so it's told to stop by emptying the list."""
    if watched and event == "open":
        watched[0].append(str(about[0]))


def test_nothing_in_the_engine_can_unpickle() -> None:
    core = Path(checkpoint.__file__).parents[2]
    files = list(core.rglob("*.py"))
    assert len(files) > 50
    assert [found for file in files for found in unpickling(file)] == []


def test_unpickling_is_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    for line in (
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "from torch import load",
    ):
        file.write_text(line)
        assert unpickling(file) == [f"{file.name}:1"], line


def unpickling(file: Path) -> list[str]:
    """Places where a module could load a pickle."""
    modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    found = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import(names=imported):
                bad = any(name.name.split(".")[0] in modules for name in imported)
            case ast.ImportFrom(module=module, names=imported):
                bad = (module or "").split(".")[0] in modules or (
                    module == "torch" and any(name.name == "load" for name in imported)
                )
            case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
                bad = True
            case ast.keyword(arg="allow_pickle", value=value):
                bad = not (isinstance(value, ast.Constant) and value.value is False)
            case _:
                continue
        if bad:
            line = node.value.lineno if isinstance(node, ast.keyword) else node.lineno
            found.append(f"{file.name}:{line}")
    return found


def failed_save(folder: Path, step: int) -> str | None:
    """Why a save failed; None if it didn't."""
    try:
        save_some(folder, step)
    except SaveError as error:
        return str(error)
    return None


@pytest.mark.parametrize("failure", failures(), ids=lambda error: error.strerror)
@pytest.mark.parametrize("step", [1, 2], ids=["again", "next"])
def test_a_disk_that_fails_at_any_operation_costs_no_checkpoint(
    tmp_path: Path, failure: OSError, step: int
) -> None:
    for at in count(1):
        folder = tmp_path / str(at)
        older = save_some(folder, 1)
        before = {path.name: path.read_bytes() for path in older.iterdir() if path.is_file()}
        disk = Disk(at, failure)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            message = failed_save(folder, step)
        assert message is None or failure.strerror in message
        path, lines = checkpoint.newest(folder)
        assert lines == []
        assert path is not None
        assert checkpoint.step_of(path) in (1, step)
        assert not list(folder.glob(".step-*.*[0-9]")), "the half-made one is gone"
        if checkpoint.step_of(path) == 1:
            assert (path / "optimizer.safetensors").read_bytes() == before["optimizer.safetensors"]
        assert checkpoint.verify(checkpoint.path_of(folder, 1)) is None
        save_some(folder, step)
        assert checkpoint.newest(folder)[0] == folder / f"step-{step:08d}"
        if disk.asked < at:
            break
    assert at > 10


@pytest.mark.parametrize("step", [1, 2], ids=["again", "next"])
def test_a_kill_at_any_operation_costs_no_checkpoint(tmp_path: Path, step: int) -> None:
    for at in count(1):
        folder = tmp_path / str(at)
        save_some(folder, 1)
        disk = Disk(at, Killed())
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                save_some(folder, step)
            except Killed:
                pass
            else:
                break
        path, lines = checkpoint.newest(folder)
        assert lines == []
        assert path is not None
        assert checkpoint.verify(checkpoint.path_of(folder, 1)) is None
        save_some(folder, step)
        kept = {OLDER, f"step-{step:08d}"}
        assert set(names(folder)) == kept, "what the killed save left is gone"
    assert at > 10


def test_a_disk_that_is_full_at_any_size_takes_no_half_checkpoint(
    learner: Learner, real: Path, tmp_path: Path
) -> None:
    """By whichever library a file is written: the disk is a real one and really full."""

    def write(into: Path) -> None:
        learner.write(into)
        (into / "state.json").write_bytes(msgspec.json.encode(state_at(2)))

    size = sum(file.stat().st_size for file in (real / OLDER).rglob("*") if file.is_file())
    with small_disk(tmp_path / "disk", 3 * size + (1 << 20)) as disk:
        folder = disk / "checkpoints"
        shutil.copytree(real / OLDER, folder / OLDER)
        for left in range(0, size, size // 12):
            filler = fill(disk, left)
            with pytest.raises(SaveError, match="No space left on device"):
                checkpoint.save(folder, 2, write)
            assert names(folder) == [OLDER]
            assert checkpoint.newest(folder) == (folder / OLDER, [])
            filler.unlink()
        path = checkpoint.save(folder, 2, write)
        assert checkpoint.newest(folder) == (path, [])


def test_a_save_into_a_run_that_is_gone_makes_no_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    with pytest.raises(SaveError, match="No such file or directory"):
        save_some(folder, 1)
    assert not folder.parent.exists()


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_some(tmp_path, 1)
    path = checkpoint.save(tmp_path, 1, lambda into: write_some(into, step=5))
    assert checkpoint.read_state(path).step == 5
    assert names(tmp_path) == [OLDER]


def test_a_checkpoint_that_was_being_replaced_stands_in_for_a_damaged_heir(tmp_path: Path) -> None:
    heir = save_some(tmp_path, 1)
    replaced = Path(shutil.copytree(heir, tmp_path / f"{OLDER}.replaced"))
    (heir / "state.json").write_text("")
    path, [line] = checkpoint.newest(tmp_path)
    assert path == replaced
    assert "state.json" in line
    assert checkpoint.newest(tmp_path)[0] == replaced
    path = save_some(tmp_path, 1)
    assert checkpoint.newest(tmp_path) == (path, [])
    assert names(tmp_path) == [OLDER]
