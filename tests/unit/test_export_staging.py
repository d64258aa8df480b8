"""An export is whole and in its place, or what was there before; nothing of a user's is deleted."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faults import Disk, Killed, failures

from core.errors import KocrError, UsageError
from core.export import exporter
from core.export.staging import staged
from core.exporting import EXPORT_FILE, Export

MADE = Export(
    kind="adapter", run="r", step=1, best=True, base="b", revision=None, weights="bf16",
    dtype="bfloat16", rank=16, targets="language", min_pixels=3136, max_pixels=200_704,
    max_new_tokens=64, adapter_sha256="", verified=None, versions={},
)  # fmt: skip
# More operations than making and publishing an export asks of the disk.
_OPERATIONS = 18


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def write(out: Path, content: bytes, *, force: bool = False) -> None:
    with staged(out, force=force) as staging:
        for name in ("a.json", "b.safetensors"):
            (staging.files / name).write_bytes(content)
        (staging.work / "photo.png").write_bytes(b"private")
        staging.publish(MADE)


def holds(out: Path) -> dict[str, bytes]:
    """The files by name without export.json, which has to tell of just these."""
    told = msgspec.json.decode((out / EXPORT_FILE).read_bytes(), type=Export)
    found = {path.name: path.read_bytes() for path in out.iterdir() if path.name != EXPORT_FILE}
    assert told.files.keys() == found.keys()
    return found


def both(content: bytes) -> dict[str, bytes]:
    return {"a.json": content, "b.safetensors": content}


def test_an_export_lies_alone_in_its_place(out: Path) -> None:
    write(out, b"one")
    assert holds(out) == both(b"one")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_is_there_is_replaced_by_force_alone(out: Path) -> None:
    write(out, b"one")
    with pytest.raises(UsageError, match=r"is there already; .* --force"):
        write(out, b"two")
    assert holds(out) == both(b"one")
    write(out, b"two", force=True)
    assert holds(out) == both(b"two")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def add(out: Path) -> str:
    (out / "notes.txt").write_bytes(b"mine")
    return "notes.txt: was not written by an export"


def change(out: Path) -> str:
    (out / "a.json").write_bytes(b"one, mended")
    return "a.json: was changed since an export wrote it"


def link(out: Path) -> str:
    (out / "a.json").unlink()
    (out / "a.json").symlink_to(out / "b.safetensors")
    return "a.json: was changed since an export wrote it"


def add_folder(out: Path) -> str:
    (out / "mine").mkdir()
    return "mine: was not written by an export"


def lose_manifest(out: Path) -> str:
    (out / EXPORT_FILE).unlink()
    return "a.json: was not written by an export"


def spoil_manifest(out: Path) -> str:
    (out / EXPORT_FILE).write_bytes(b'{"export": 2}')
    return "a.json: was not written by an export"


@pytest.mark.parametrize("own", [add, change, link, add_folder, lose_manifest, spoil_manifest])
def test_force_leaves_alone_what_is_not_wholly_an_exports(
    own: Callable[[Path], str], out: Path
) -> None:
    write(out, b"one")
    words = own(out)
    before = {path.name: path.lstat() for path in out.iterdir()}
    with pytest.raises(UsageError) as caught:
        write(out, b"two", force=True)
    assert words in str(caught.value)
    assert {path.name: path.lstat() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_became_a_users_meanwhile_is_left_alone(out: Path) -> None:
    write(out, b"one")
    with staged(out, force=True) as staging:
        (staging.files / "a.json").write_bytes(b"two")
        add(out)
        with pytest.raises(UsageError, match=r"notes\.txt: was not written by an export"):
            staging.publish(MADE)
    assert (out / "notes.txt").read_bytes() == b"mine"
    assert (out / "a.json").read_bytes() == b"one"


def test_a_file_and_a_link_in_its_place_are_refused(out: Path, tmp_path: Path) -> None:
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is there already and no folder"):
        write(out, b"one", force=True)
    write(tmp_path / "other", b"one")
    out.unlink()
    out.symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="is there already and no folder"):
        write(out, b"two", force=True)
    assert holds(tmp_path / "other") == both(b"one")


def test_a_second_export_to_the_same_place_is_refused(out: Path) -> None:
    """By another process: the lock is a process's own."""
    with staged(out, force=False):
        if (child := os.fork()) == 0:
            code = 1
            with suppress(BaseException):
                try:
                    write(out, b"two")
                except UsageError as error:
                    code = 0 if "busy: process" in str(error) else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("at", range(1, _OPERATIONS))
@pytest.mark.parametrize("there", [False, True])
def test_killed_at_any_operation_it_leaves_one_whole_export_and_the_next_one_sweeps(
    at: int, there: bool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        write(out, b"one")
    if (child := os.fork()) == 0:
        with suppress(BaseException):
            _Deadly(at, Killed()).install(monkeypatch)
            write(out, b"two", force=True)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert killed or holds(out) == both(b"two")
    with suppress(UsageError):
        write(out, b"three")
    found = holds(out)
    assert found in (([both(b"one")] if there else [both(b"three")]) + [both(b"two")])
    assert [path.name for path in out.parent.iterdir()] == ["out"]


class _Deadly(Disk):
    """The process ends at the n-th thing asked of it, and nothing in it runs after that."""

    def _failing(self, real: Any, name: str) -> Any:
        failing = super()._failing(real, name)

        def operation(*arguments: Any, **options: Any) -> Any:
            try:
                return failing(*arguments, **options)
            except Killed:
                os._exit(9)

        return operation


@pytest.mark.parametrize("at", range(1, _OPERATIONS))
def test_a_disk_that_fails_at_any_operation_leaves_one_whole_export(
    at: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(out, b"one")
    with monkeypatch.context() as patched:
        Disk(at, failures()[0]).install(patched)
        with suppress(OSError, KocrError):
            write(out, b"two", force=True)
    assert holds(out) in (both(b"one"), both(b"two"))
    write(out, b"three", force=True)
    assert holds(out) == both(b"three")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_disk_without_room_is_told_before_anything_is_written(out: Path) -> None:
    with staged(out, force=False) as staging:
        staging.require(1 << 20)
        with pytest.raises(KocrError, match=r"it takes 1048576\.0 GiB, but .* free some"):
            staging.require(1 << 50)
    assert list(out.parent.iterdir()) == []


def test_the_systems_words_are_told_with_the_folder(out: Path) -> None:
    with (
        pytest.raises(KocrError, match="out: can't be written: No space left on device"),
        exporter._in_one_line(out),
    ):
        raise failures()[0]
