"""Photos are turned, brought to sRGB and made RGB, whatever they are stored as."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sign_rows import STORED_AS

from core.data.images import read_photo, upright_size
from core.data.unusable import UnusableError


def corner_photo(orientation: int) -> Image.Image:
    """A 40x20 photo whose top left corner is red once it's turned as its EXIF says."""
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste("red", (0, 0, 10, 10))
    undo = STORED_AS[orientation]
    return upright if undo is None else upright.transpose(undo)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_by_exif(tmp_path: Path, orientation: int) -> None:
    stored = corner_photo(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    stored.save(path, exif=exif)
    assert upright_size(path) == (40, 20)
    half = read_photo(path, lambda width, height: (width // 2, height // 2))
    assert half.size == (20, 10)
    assert half.getpixel((1, 1)) == (255, 0, 0)
    assert half.getpixel((18, 8)) == (255, 255, 255)
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


def test_transparent_palette_entries_become_white(tmp_path: Path) -> None:
    image = Image.new("P", (30, 30), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 10, 30))
    image.save(tmp_path / "photo.png", transparency=1)
    read = read_photo(tmp_path / "photo.png")
    assert (read.getpixel((3, 3)), read.getpixel((20, 3))) == ((255, 0, 0), (255, 255, 255))


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "photo.gif", save_all=True, append_images=frames[1:])
    assert read_photo(tmp_path / "photo.gif").getpixel((5, 5)) == (255, 0, 0)


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (ICC.1:2001-04) with the least that a colour engine asks for."""
    name = b"made here\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0free\0", b"wtpt": white, **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, connection
    )
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def wide_rgb() -> bytes:
    """RGB with the primaries of Display P3 and a gamma of 2.2."""
    primaries = {b"r": (0.5151, 0.2412, -0.0011), b"g": (0.2920, 0.6922, 0.0419)}
    primaries[b"b"] = (0.1571, 0.0666, 0.7841)
    tags = {}
    for key, values in primaries.items():
        numbers = struct.pack(">iii", *(round(value * 65536) for value in values))
        tags[key + b"XYZ"] = b"XYZ \0\0\0\0" + numbers
        tags[key + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256))
    return profile(b"RGB ", b"XYZ ", tags)


def grey_ink() -> bytes:
    """CMYK whose four inks are all grey: lightness 100 less their mean."""
    ramp = bytes(range(256))
    corners = b""
    for corner in range(16):
        inks = bin(corner).count("1")
        corners += bytes([255 - round(255 * inks / 4), 128, 128])
    matrix = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + corners + ramp * 3
    return profile(b"CMYK", b"Lab ", {b"A2B0": table})


def test_a_wide_gamut_photo_is_brought_to_srgb(tmp_path: Path) -> None:
    plain, wide = tmp_path / "plain.png", tmp_path / "wide.png"
    image = Image.new("RGB", (30, 30), (200, 100, 50))
    image.save(plain)
    image.save(wide, icc_profile=wide_rgb())
    assert read_photo(plain).getpixel((5, 5)) == (200, 100, 50)
    to_xyz = np.array(
        [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
    )
    # sRGB's primaries adapted to D50 (IEC 61966-2-1, as ICC profiles give them).
    srgb = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    linear = np.linalg.solve(srgb, to_xyz @ (np.array([200, 100, 50]) / 255) ** 2.2)
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055
    )
    assert np.abs(expected - (200, 100, 50)).max() > 10
    assert np.allclose(read_photo(wide).getpixel((5, 5)), expected, atol=2)


def test_cmyk_goes_by_its_profile_if_it_has_one(tmp_path: Path) -> None:
    plain, inked = tmp_path / "plain.jpg", tmp_path / "inked.jpg"
    image = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    image.save(plain, quality=100)
    image.save(inked, quality=100, icc_profile=grey_ink())
    assert np.allclose(read_photo(plain).getpixel((5, 5)), (0, 255, 255), atol=3)
    # One ink of four leaves a lightness of 75, which sRGB writes as 185.
    assert np.allclose(read_photo(inked).getpixel((5, 5)), (185, 185, 185), atol=4)
