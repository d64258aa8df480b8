"""Inputs that data sets in the wild hold: what each is, and what has to become of it.

A case writes the photo ``photo.jpg`` (or another) into a folder and gives the line of its row.
"""

import io
import json
import os
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from sign_rows import PROMPT, chat_row

Make = Callable[[Path], bytes]
PHOTO = "photo.jpg"


@dataclass(frozen=True)
class Case:
    """An input; ``reason`` and ``words`` of its being set aside, or the ``size`` it is used at.

    ``late`` cases pass the survey of headers and are found out by the loader.
    """

    name: str
    make: Make
    reason: str | None = None
    words: str = ""
    size: tuple[int, int] = (60, 40)
    late: bool = False


def picture(size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def row(image: str = PHOTO, answer: str = "마왕족발", prompt: str = PROMPT) -> bytes:
    return json.dumps(chat_row(image, answer, prompt), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, kind, **options)
    return file.getvalue()


def file_of(content: bytes, name: str = PHOTO) -> Make:
    def make(folder: Path) -> bytes:
        (folder / name).write_bytes(content)
        return row(name)

    return make


def line_of(line: bytes) -> Make:
    def make(folder: Path) -> bytes:
        picture().save(folder / PHOTO)
        return line

    return make


def chat(**changes: Any) -> Make:
    """A row with other messages, or with other keys beside them."""
    return line_of(json.dumps({**chat_row(PHOTO, "가"), **changes}, ensure_ascii=False).encode())


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def reply(text: str = "가") -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


IMAGE = {"type": "image", "image": PHOTO}
TEXT = {"type": "text", "text": PROMPT}


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0" * 99))
        + chunk(b"IEND", b"")
    )


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded("jpeg", exif=exif)


def flipped_crc() -> bytes:
    content = bytearray(encoded("png"))
    place = content.index(b"IDAT") + 30
    content[place] ^= 0xFF
    return bytes(content)


def zip_bytes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", encoded("jpeg"))
    return file.getvalue()


def zlib_bomb() -> bytes:
    """A small PNG whose text chunk swells to 64 MiB."""
    body = b"zTXtComment\0\0" + zlib.compress(b"0" * 2**26)
    bomb = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = encoded("png")
    return content[:33] + bomb + content[33:]


def folder_as_photo(folder: Path) -> bytes:
    (folder / PHOTO).mkdir()
    return row()


def pipe_as_photo(folder: Path) -> bytes:
    os.mkfifo(folder / PHOTO)
    return row()


def dangling_link(folder: Path) -> bytes:
    (folder / PHOTO).symlink_to(folder / "nowhere.jpg")
    return row()


def link_out(folder: Path) -> bytes:
    outside = folder.parent / f"{folder.name}-outside.jpg"
    picture().save(outside)
    (folder / PHOTO).symlink_to(outside)
    return row()


def folder_link_out(folder: Path) -> bytes:
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    picture().save(outside / PHOTO)
    (folder / "photos").symlink_to(outside)
    return row(f"photos/{PHOTO}")


def link_inside(folder: Path) -> bytes:
    picture().save(folder / "real.png")
    (folder / PHOTO).symlink_to(folder / "real.png")
    return row()


def above(folder: Path) -> bytes:
    picture().save(folder.parent / f"{folder.name}-above.png")
    return row(f"../{folder.name}-above.png")


def absolute(folder: Path) -> bytes:
    outside = folder.parent / f"{folder.name}-absolute.png"
    picture().save(outside)
    return row(str(outside))


def file_address(folder: Path) -> bytes:
    return absolute(folder).replace(b'"image": "/', b'"image": "file:///')


def nfd_on_disk(folder: Path) -> bytes:
    picture().save(folder / unicodedata.normalize("NFD", "간판.png"))
    return row(unicodedata.normalize("NFC", "간판.png"))


def nfd_in_row(folder: Path) -> bytes:
    picture().save(folder / unicodedata.normalize("NFC", "간판.png"))
    return row(unicodedata.normalize("NFD", "간판.png"))


P3 = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
CMYK = picture().convert("CMYK")
GREY16 = Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27)
HALF = {
    kind: encoded(kind, picture((200, 160)))
    for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff")
}


def half(kind: str) -> Make:
    """The first half of the file, its header whole."""
    return file_of(HALF[kind][: len(HALF[kind]) // 2])


PHOTOS = [
    Case("truncated jpeg", half("jpeg"), "cannot-be-decoded", "truncated", late=True),
    Case("truncated png", half("png"), "cannot-be-decoded", "truncated", late=True),
    Case("truncated webp", half("webp"), "cannot-be-decoded", "can't be decoded"),
    Case("truncated gif", half("gif"), "cannot-be-decoded", "can't be decoded", late=True),
    Case("truncated bmp", half("bmp"), "cannot-be-decoded", "truncated", late=True),
    Case("truncated tiff", half("tiff"), "cannot-be-decoded", late=True),
    Case("png with a flipped byte", file_of(flipped_crc()), "cannot-be-decoded", late=True),
    Case("zero bytes", file_of(b""), "empty-file", "the file is empty"),
    Case("one byte", file_of(b"\xff"), "not-an-image", "known format"),
    Case("html named jpg", file_of(b"<html>404 Not Found</html>"), "not-an-image", "known format"),
    Case("pdf", file_of(b"%PDF-1.7\n1 0 obj"), "not-an-image", "known format"),
    Case("svg", file_of(b"<svg xmlns='x'/>"), "not-an-image", "known format"),
    Case("zip named png", file_of(zip_bytes(), "a.png"), "not-an-image", "known format"),
    Case("ico", file_of(encoded("ico", picture((48, 48)))), "not-an-image", "known format"),
    Case("postscript", file_of(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "not-an-image", "known format"),
    Case(
        "60,000 x 60,000 header",
        file_of(png_header(60_000, 60_000)),
        "too-many-pixels",
        "60000x60000 is over 200,000,000 pixels",
    ),
    Case("no width", file_of(png_header(0, 40)), "not-an-image", "known format"),
    Case(
        "5,000 x 1",
        file_of(encoded("png", picture((5000, 1)))),
        "too-long-for-its-breadth",
        "5000x1: over 200 times",
    ),
    Case("text chunk that swells", file_of(zlib_bomb()), "cannot-be-decoded", "can't be decoded"),
    Case("header and no pixels", file_of(png_header(60, 40)), "cannot-be-decoded", late=True),
    Case("cmyk without profile", file_of(encoded("jpeg", CMYK))),
    Case("cmyk with another's profile", file_of(encoded("jpeg", CMYK, icc_profile=P3))),
    Case("profile of noise", file_of(encoded("jpeg", icc_profile=b"\x00\x01noise" * 40))),
    Case("16 bits", file_of(encoded("png", GREY16))),
    Case("1 bit", file_of(encoded("png", picture().convert("1")))),
    Case("grey and alpha", file_of(encoded("png", picture().convert("LA")))),
    Case("palette with transparency", file_of(encoded("png", picture(mode="P"), transparency=2))),
    Case("palette with noise in it", file_of(encoded("gif", picture(mode="P")))),
    Case("animated", file_of(encoded("gif", save_all=True, append_images=[picture()]))),
    Case("jpeg named png", file_of(encoded("jpeg"), "a.png")),
    Case("broken exif", file_of(encoded("jpeg", exif=b"Exif\0\0II*\0noise" * 3))),
    Case("exif orientation 0", file_of(turned(0))),
    *[Case(f"exif orientation {turn}", file_of(turned(turn))) for turn in (1, 2, 3, 4)],
    *[Case(f"exif orientation {turn}", file_of(turned(turn)), size=(40, 60)) for turn in (5, 6)],
    *[Case(f"exif orientation {turn}", file_of(turned(turn)), size=(40, 60)) for turn in (7, 8)],
    Case("exif orientation 9", file_of(turned(9))),
]
FILES = [
    Case("no such file", lambda folder: row(), "no-such-file", "photo.jpg: no such file"),
    Case("folder named jpg", folder_as_photo, "not-a-file", "not a regular file"),
    Case("pipe named jpg", pipe_as_photo, "not-a-file", "not a regular file"),
    Case("dangling link", dangling_link, "no-such-file", "no such file"),
    Case("link out of the folder", link_out, "path-refused", "leads out of"),
    Case("folder that links out", folder_link_out, "path-refused", "leads out of"),
    Case("path above", above, "path-refused", "leads out of"),
    Case("web address", lambda _: row("https://x.kr/a.jpg"), "path-refused", "a web address"),
    Case("data address", lambda _: row("data:image/png;base64,AA"), "path-refused", "web address"),
    Case("NUL in the name", lambda _: row("a\0b.jpg"), "path-refused", "not a file name"),
    Case("name of 5,000", lambda _: row("a" * 5000), "unreadable-file", "name too long"),
    Case("link inside", link_inside),
    Case("absolute path", absolute),
    Case("file address", file_address),
    Case("NFD file, NFC row", nfd_on_disk),
    Case("NFC file, NFD row", nfd_in_row),
]
ROWS = [
    Case("not json", line_of(b"{"), "bad-json", "not JSON"),
    Case("a list", line_of(b"[]"), "wrong-structure", "Expected `object`"),
    Case("bad utf-8", line_of(row().replace(b"JPEG", b"") + b"\xff"), "bad-encoding", "not UTF-8"),
    Case("bad utf-8 in a name", line_of(b'{"a": "\xb0\xa1"}'), "bad-encoding", "at byte 8"),
    Case("nested 100,000 deep", line_of(b"[" * 100_000), "wrong-structure", "got `array`"),
    Case("deep metadata", line_of(b'{"messages": [], "x": ' + b"[" * 9**5), "bad-json"),
    Case("2 MB line", line_of(row(answer="가" * 700_000)), "line-too-long", "over 1,000,000 bytes"),
    Case(
        "duplicate key", line_of(b'{"messages": [], "messages": []}'), "duplicate-key", "messages"
    ),
    Case("number of 5,000 digits", chat(metadata={"n": int("9" * 4000)}), size=(60, 40)),
    Case("NaN", line_of(b'{"messages": [], "x": NaN}'), "bad-json", "not JSON"),
    Case("no messages", chat(messages=[]), "wrong-turns", "found none"),
    Case("no assistant turn", chat(messages=[user(IMAGE, TEXT)]), "wrong-turns", "found user"),
    Case(
        "two assistant turns",
        chat(messages=[user(IMAGE, TEXT), reply(), reply()]),
        "wrong-turns",
        "user, assistant, assistant",
    ),
    Case("assistant first", chat(messages=[reply(), user(IMAGE, TEXT)]), "wrong-turns"),
    Case("unknown role", chat(messages=[{"role": "tool", "content": ""}]), "wrong-structure"),
    Case(
        "several images",
        chat(messages=[user(IMAGE, IMAGE, TEXT), reply()]),
        "wrong-image-count",
        "found 2",
    ),
    Case("no image", chat(messages=[user(TEXT), reply()]), "wrong-image-count", "found 0"),
    Case(
        "image in the answer",
        chat(messages=[user(IMAGE, TEXT), user(IMAGE) | {"role": "assistant"}]),
        "wrong-image-count",
        "the answer holds an image",
    ),
    Case("video", chat(messages=[user({"type": "video"}, TEXT), reply()]), "wrong-structure"),
    Case(
        "image is a number",
        chat(messages=[user({**IMAGE, "image": 3}), reply()]),
        "wrong-structure",
    ),
    Case("content is null", chat(messages=[{"role": "user", "content": None}]), "wrong-structure"),
    Case("empty answer", line_of(row(answer="")), "empty-answer", "the answer is empty"),
    Case("answer of spaces", line_of(row(answer=" \u3000\t")), "empty-answer"),
    Case("answer of 10,000", line_of(row(answer="가" * 10_000)), "answer-too-long", "10,000"),
    Case("prompt of 9,000", line_of(row(prompt="가" * 9000)), "prompt-too-long", "9,000"),
    Case("escape in the answer", line_of(row(answer="가\x1b[31m")), "control-character", "0x1b"),
    Case("NUL in the answer", line_of(row(answer="가\0")), "control-character", "0x0"),
    Case("end token in the answer", line_of(row(answer="가<|im_end|>")), "control-token", "im_end"),
    Case("image token in the prompt", line_of(row(prompt="<|image_pad|>?")), "control-token"),
    Case(
        "lone surrogate",
        line_of(row(answer="XX").replace(b"XX", rb"\ud83d")),
        "bad-json",
        "not JSON",
    ),
    Case("NFD answer", line_of(row(answer=unicodedata.normalize("NFD", "마왕족발")))),
    Case("BOM", line_of(b"\xef\xbb\xbf" + row())),
    Case("CRLF", line_of(row() + b"\r")),
    Case("spaces around", line_of(b"  " + row() + b"  ")),
]
CASES = [*PHOTOS, *FILES, *ROWS]
