"""Rows and photos: what is taken, and what is refused or set aside with which reason."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sign_rows import chat_row

from core.data.images import read_photo, upright_size
from core.data.schemas import parse_row
from core.data.survey import open_rows
from core.data.tokens import PixelGeometry
from core.data.unusable import UnusableError
from core.errors import UsageError

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


def corner_photo(orientation: int) -> Image.Image:
    """A 40x20 photo whose top left corner is red once it's turned as its EXIF says."""
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste("red", (0, 0, 10, 10))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return upright if undo is None else upright.transpose(undo)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_by_exif(tmp_path: Path, orientation: int) -> None:
    stored = corner_photo(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    stored.save(path, exif=exif)
    assert upright_size(path) == (40, 20)
    image = read_photo(path)
    assert image.size == (40, 20)
    assert image.getpixel((2, 2)) == (255, 0, 0)
    assert image.getpixel((37, 17)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 128, (128, 128, 128)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (0, 0), (255, 255, 255)),
        ("I;16", 0x8000, (128, 128, 128)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, colour: object, expected: tuple[int, int, int]
) -> None:
    path = tmp_path / "photo.png"
    if mode == "I;16":
        Image.fromarray(np.full((30, 30), colour, dtype=np.uint16)).save(path)
    else:
        Image.new(mode, (30, 30), colour).save(path)  # type: ignore[arg-type]
    image = read_photo(path)
    assert (image.mode, image.getpixel((5, 5))) == ("RGB", expected)


def test_a_truncated_photo_is_a_bad_image(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    assert upright_size(path) == (200, 200)
    with pytest.raises(UnusableError, match="can't be decoded"):
        read_photo(path)
