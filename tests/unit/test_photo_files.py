"""Photos by name: files as they are, folders with all that is below them."""

import os
from pathlib import Path

import pytest

from core.errors import UsageError
from core.photo_files import photo_files


def touch(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def test_folders_give_their_photos_by_name_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    wanted = [touch(tmp_path / name) for name in ("b.JPG", "c.webp", "a/1.jpeg", "a/b/2.tiff")]
    for name in ("notes.txt", ".hidden.jpg", ".git/x.png"):
        touch(tmp_path / name)
    (tmp_path / "loop").symlink_to(tmp_path)
    named = touch(tmp_path.parent / "odd.name")
    given = [named, str(tmp_path), str(tmp_path / "c.webp"), "gone.jpg"]
    assert photo_files(given) == [named, *wanted, "gone.jpg"]


def test_a_name_that_is_no_utf8_stays_as_it_is(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xb0\xa3.jpg"
    with open(name, "wb"):  # noqa: PTH123 - a Path can't be made of bytes
        pass
    assert [os.fsencode(path) for path in photo_files([str(tmp_path)])] == [name]


def test_a_folder_without_photos_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="no photos in this folder"):
        photo_files([str(tmp_path)])
