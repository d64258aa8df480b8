"""Locks that all programs of a box meet at, and what lies in the way of one."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import box_lock, lock
from core.errors import UsageError

NAME = "GPU-4090aaaa-0000-0000-0000-000000000001"
FILE = f"{NAME}.lock"
HOLDER = f"""
import sys
from pathlib import Path
from core import box_lock
from core.errors import UsageError
try:
    with box_lock.hold("{NAME}", str, Path("/nowhere")):
        print("held", flush=True)
        sys.stdin.read()
except UsageError:
    print("busy", flush=True)
"""


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two folders in which the box's locks are."""
    both = tmp_path / "first", tmp_path / "second"
    for folder in both:
        folder.mkdir()
    monkeypatch.delenv(box_lock.LOCKS_VARIABLE)
    monkeypatch.setattr(box_lock, "BOX_FOLDERS", both)
    return both


@pytest.fixture
def instead(tmp_path: Path) -> Path:
    return tmp_path / "home" / "locks" / FILE


def start_holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, box_lock.LOCKS_VARIABLE: str(folder)},
    )


def word_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("shared", [0, 1])
def test_one_folder_in_common_is_enough_to_meet(
    boxes: tuple[Path, Path], instead: Path, shared: int
) -> None:
    holder = start_holder(boxes[shared])
    assert word_of(holder) == "held"
    with (
        pytest.raises(UsageError, match=f"busy {holder.pid}"),
        box_lock.hold(NAME, lambda pid: f"busy {pid}", instead),
    ):
        pass
    holder.kill()
    holder.wait()
    with box_lock.hold(NAME, str, instead) as why:
        assert why is None
    assert not instead.exists()


def test_of_many_that_come_at_once_one_gets_it(boxes: tuple[Path, Path]) -> None:
    holders = [start_holder(boxes[0]) for _ in range(4)]
    assert sorted(map(word_of, holders)) == ["busy", "busy", "busy", "held"]
    for holder in holders:
        holder.communicate("")
    assert [path.name for path in boxes[0].iterdir()] == ["kocr-tui"]
    assert [path.name for path in (boxes[0] / "kocr-tui").iterdir()] == [FILE]


def test_everyone_may_lock_whatever_the_first_ones_umask(
    boxes: tuple[Path, Path], instead: Path
) -> None:
    before = os.umask(0o077)
    try:
        with box_lock.hold(NAME, str, instead):
            pass
    finally:
        os.umask(before)
    for parent in boxes:
        folder = parent / "kocr-tui"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
        assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o1666


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "kocr-tui").mkdir()
        (Path(folder) / "kocr-tui").chmod(0o1777)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_lock_is_met_and_its_file_taken_after_it(
    open_folder: Path, instead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(box_lock.LOCKS_VARIABLE, str(open_folder))
    told, tell = os.pipe()
    other = os.fork()
    if other == 0:
        try:
            os.setuid(65534)
            with box_lock.hold(NAME, str, instead):
                os.write(tell, b"held")
                signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(told, 4) == b"held"
    assert (open_folder / "kocr-tui" / FILE).stat().st_uid == 65534
    with (
        pytest.raises(UsageError, match=f"busy {other}"),
        box_lock.hold(NAME, lambda pid: f"busy {pid}", instead),
    ):
        pass
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    with box_lock.hold(NAME, str, instead) as why:
        assert why is None


def link(path: Path) -> None:
    path.symlink_to(path.parents[2] / "mine")


@pytest.mark.parametrize("plant", [link, Path.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_refused_and_left_alone(
    boxes: tuple[Path, Path], instead: Path, plant: Callable[[Path], object]
) -> None:
    mine = boxes[0].parent / "mine"
    mine.write_text("mine")
    with box_lock.hold(NAME, str, instead):
        pass
    planted = boxes[0] / "kocr-tui" / FILE
    planted.unlink()
    plant(planted)
    with (
        pytest.raises(UsageError, match=f"{FILE}: isn't a plain file, so it can't be a lock"),
        box_lock.hold(NAME, str, instead),
    ):
        pass
    assert mine.read_text() == "mine"
    assert lock.holder(mine) is None


def closed(folder: Path) -> None:
    (folder / "kocr-tui").mkdir(mode=0o755)


def linked(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    elsewhere.chmod(0o1777)
    (folder / "kocr-tui").symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.rmdir, "No such file or directory"),
        (closed, "Not open to all users (mode 1777)"),
        (linked, "Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_used_is_passed_over(
    boxes: tuple[Path, Path], instead: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    first, second = boxes
    spoil(first)
    with box_lock.hold(NAME, str, instead) as why:
        assert why is None
        assert not instead.exists()
    assert (second / "kocr-tui" / FILE).exists()
    (second / "kocr-tui" / FILE).unlink()
    (second / "kocr-tui").rmdir()
    spoil(second)
    with box_lock.hold(NAME, str, instead) as why:
        assert why is not None
        assert instead.exists()
        assert [part.split(": ")[0] for part in why.split("; ")] == [
            str(parent / "kocr-tui") for parent in boxes
        ]
    assert why.count(reason) == 2


@pytest.mark.parametrize("name", ["", "../GPU-1", "GPU-1/3/0", "GPU-1\n", ".", "GPU 1", "GPU-é"])
def test_a_name_that_is_no_uuid_is_refused(
    boxes: tuple[Path, Path], instead: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="no name for a lock"), box_lock.hold(name, str, instead):
        pass
    assert [list(parent.iterdir()) for parent in boxes] == [[], []]
