"""Opening a JSONL file: what is taken, refused or set aside, and what is remembered."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sign_rows import chat_row

from core.data import images, photos
from core.data.parallel import each_in_processes
from core.data.schemas import parse_row
from core.data.survey import open_rows
from core.data.tokens import PixelGeometry
from core.data.unusable import UnusableError
from core.errors import KocrError, UsageError

WriteRows = Callable[..., Path]
GEOMETRY = PixelGeometry(14, 2, 56 * 56)


def line(row: object) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def test_a_row_is_read_in_nfc_with_its_image_beside_the_file() -> None:
    decomposed = "마왕족발"
    row = parse_row(line(chat_row("a.jpg", f" {decomposed} ")))
    assert (row.image, row.answer) == ("a.jpg", "마왕족발")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a row of this kind"),
        (b'{"messages": []}', "found none"),
        (line({"messages": chat_row("a", "b")["messages"][:1]}), "found user"),  # type: ignore[index]
        (line(chat_row("a.jpg", "  ")), "the answer is empty"),
        (line(chat_row("", "가")), "the image has no path"),
        (b'{"messages": "\xff"}', "not UTF-8 at byte 15"),
    ],
)
def test_bad_rows_say_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        parse_row(content)


def test_two_images_in_a_message_are_refused() -> None:
    row = chat_row("a.jpg", "가")
    row["messages"][0]["content"].append({"type": "image", "image": "b.jpg"})  # type: ignore[index]
    with pytest.raises(UnusableError, match="found 2"):
        parse_row(line(row))


def test_rows_are_surveyed_from_headers(write_rows: WriteRows) -> None:
    path = write_rows(
        [("a.png", (300, 200), "마왕족발"), ("b.jpg", (64, 640), "원마트 (ONE MART)")]
    )
    rows = open_rows(path, "refuse")
    assert len(rows) == 2
    assert rows.sizes.tolist() == [[300, 200], [64, 640]]
    assert rows.lines.tolist() == [1, 2]
    assert rows[1].answer == "원마트 (ONE MART)"
    assert rows.image_tokens(GEOMETRY, 10**9).tolist() == [77, 46]


def test_blank_lines_and_bom_free_crlf_do_not_shift_rows(write_rows: WriteRows) -> None:
    path = write_rows([("a.png", (60, 60), "가"), ("b.png", (60, 60), "나")])
    path.write_bytes(b"\n" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    rows = open_rows(path, "refuse")
    assert [rows[0].answer, rows[1].answer] == ["가", "나"]
    assert rows.lines.tolist() == [2, 4]


def test_a_missing_image_is_refused_with_file_row_and_remedy(write_rows: WriteRows) -> None:
    path = write_rows([("a.png", (60, 60), "가"), ("b.png", (60, 60), "나")])
    (path.parent / "b.png").unlink()
    with pytest.raises(UsageError, match=r"rows\.jsonl row 2: .*b\.png: no such file; .*set-aside"):
        open_rows(path, "refuse")


def test_bad_rows_are_set_aside_on_request_each_with_its_reason(write_rows: WriteRows) -> None:
    path = write_rows([(f"{n}.png", (60, 60), "가") for n in range(5)])
    (path.parent / "0.png").unlink()
    (path.parent / "1.png").write_bytes(b"")
    (path.parent / "2.png").write_text("<html>not found</html>")
    Image.new("L", (5000, 1)).save(path.parent / "3.png")
    rows = open_rows(path, "set-aside")
    assert len(rows) == 1
    assert rows[0].image.endswith("/4.png")
    reasons = {bad.line: bad.sentence for bad in rows.set_aside}
    assert list(reasons) == [1, 2, 3, 4]
    assert "no such file" in reasons[1]
    assert "the file is empty" in reasons[2]
    assert "not an image" in reasons[3]
    assert "200 times" in reasons[4]


@pytest.mark.parametrize(("name", "text"), [("none.jsonl", None), ("empty.jsonl", "")])
def test_files_without_rows_are_refused(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=name):
        open_rows(tmp_path / name, "set-aside")


def headers_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos whose headers are read from now on."""
    seen: list[str] = []
    read = photos._read

    def noted(depth: photos.Depth, root: str | None, path: str) -> photos.PhotoFacts:
        seen.append(Path(path).name)
        return read(depth, root, path)

    monkeypatch.setattr(photos, "_read", noted)
    return seen


def test_what_was_read_once_is_read_again_only_where_it_changed(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows([(f"{n}.png", (60 + n, 60), f"가{n}") for n in range(4)])
    cache = tmp_path / "cache"
    first = open_rows(path, "refuse", cache)
    seen = headers_read(monkeypatch)
    again = open_rows(path, "refuse", cache)
    assert seen == []
    assert np.array_equal(again.sizes, first.sizes)
    assert [again[index] for index in range(4)] == [first[index] for index in range(4)]
    Image.new("RGB", (90, 90)).save(tmp_path / "2.png")
    assert open_rows(path, "refuse", cache).size(2) == (90, 90)
    assert seen == ["2.png"]
    path.write_text(path.read_text(encoding="utf-8").replace("가3", "나3"), encoding="utf-8")
    assert open_rows(path, "refuse", cache)[3].answer == "나3"
    assert seen == ["2.png"]


def test_a_photo_that_was_missing_is_noticed_when_it_comes(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    path = write_rows([("a.png", (60, 60), "가"), ("b.png", (60, 60), "나")])
    (tmp_path / "b.png").rename(tmp_path / "away.png")
    cache = tmp_path / "cache"
    for _ in range(2):
        [bad] = open_rows(path, "set-aside", cache).set_aside
        assert (bad.line, bad.reason) == (2, "no-such-file")
    (tmp_path / "away.png").rename(tmp_path / "b.png")
    assert len(open_rows(path, "refuse", cache)) == 2


def test_a_failing_disk_is_not_held_against_the_photo(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows([("a.png", (60, 60), "가"), ("b.png", (60, 60), "나")])
    opened = images.Image.open

    def fail(file: Any, formats: Any) -> Image.Image:
        if Path(f"/proc/self/fd/{file.fileno()}").readlink().name == "b.png":
            raise OSError(errno.EIO, "Input/output error")
        return opened(file, formats=formats)

    with monkeypatch.context() as patched:
        patched.setattr(images.Image, "open", fail)
        [bad] = open_rows(path, "set-aside", tmp_path / "cache").set_aside
    assert (bad.reason, bad.sentence) == (
        "unreadable-file",
        f"{tmp_path / 'b.png'}: can't be read: Input/output error",
    )
    assert len(open_rows(path, "refuse", tmp_path / "cache")) == 2


@pytest.mark.parametrize("content", [b"", b"noise", b"SQLite format 3\0" + b"x" * 200])
def test_a_broken_cache_only_costs_time(
    write_rows: WriteRows, tmp_path: Path, content: bytes
) -> None:
    path = write_rows([("a.png", (60, 60), "가")])
    cache = tmp_path / "cache"
    open_rows(path, "refuse", cache)
    for file in [file for file in cache.rglob("*") if file.is_file()]:
        file.write_bytes(content)
    assert open_rows(path, "refuse", cache).size(0) == (60, 60)
    assert len(open_rows(path, "refuse", cache)) == 1


def test_a_cache_that_cannot_be_written_only_costs_time(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    path = write_rows([("a.png", (60, 60), "가")])
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert len(open_rows(path, "refuse", tmp_path / "cache")) == 1


def test_many_photos_are_read_in_processes_in_order(tmp_path: Path) -> None:
    lines = []
    for number in range(230):
        Image.new("RGB", (56 + number, 60)).save(tmp_path / f"{number}.png")
        lines.append(json.dumps(chat_row(f"{number}.png", "가"), ensure_ascii=False))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    heard: list[tuple[int, int]] = []
    told = open_rows(tmp_path / "rows.jsonl", "refuse", None, lambda *so_far: heard.append(so_far))
    assert told.sizes[:, 0].tolist() == [56 + number for number in range(230)]
    assert heard[-1] == (230, 230)


def die(number: int) -> int:
    if number == 20:
        os._exit(9)
    return number * 2


def always_die(_number: int) -> int:
    os._exit(9)


def test_processes_that_all_die_are_one_error() -> None:
    with pytest.raises(KocrError, match="8 processes died one after another"):
        list(each_in_processes(always_die, range(40), lambda number: -number, 2))


def test_an_item_that_kills_its_process_costs_only_itself() -> None:
    doubled = list(each_in_processes(die, range(40), lambda number: -number, 2))
    assert doubled == [-20 if number == 20 else number * 2 for number in range(40)]
