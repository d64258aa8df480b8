"""Opening photos: size from the header, upright sRGB pixels, and plain words for bad files."""

import io
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from core.data.boundary import refuse_outside
from core.data.unusable import UnusableError
from core.errors import first_line

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 200_000_000
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_THEIR_SIDE = frozenset({5, 6, 7, 8})
_GROUND = (255, 255, 255)
# What Pillow's decoders and their libraries raise on bytes that are not what they claim.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    EOFError,
    RuntimeError,
    MemoryError,
    AssertionError,
    ZeroDivisionError,
    struct.error,
    ImageCms.PyCMSError,
)

# Pillow's own guard only warns at its limit; ours refuses, after the header and before decoding.
Image.MAX_IMAGE_PIXELS = None
# Odd metadata is common in photos, and what can't be used is told as an UnusableError.
warnings.filterwarnings("ignore", module=r"PIL\.")

Size = tuple[int, int]
Fit = Callable[[int, int], Size]
Resample = Callable[[Image.Image, Size], Image.Image]


def pillow_bicubic(image: Image.Image, size: Size) -> Image.Image:
    """Pillow's own antialiased bicubic resampling."""
    return image.resize(size, Image.Resampling.BICUBIC)


def upright_size(path: str | os.PathLike[str]) -> Size:
    """Width and height in pixels as the photo is seen, from its header alone.

    Raises UnusableError if the file is not a photo that can be opened.
    """
    with open_photo(path) as image:
        return upright(image)


def read_photo(
    path: str | os.PathLike[str],
    fit: Fit | None = None,
    resample: Resample = pillow_bicubic,
    root: str | None = None,
) -> Image.Image:
    """The decoded photo: upright, sRGB, transparency laid over white, 16 bits scaled to 8.

    ``fit`` tells the wanted upright width and height from the photo's own, and ``resample``
    brings it there, once. Raises UnusableError if the file is not a photo that can be decoded
    whole, or leads out of ``root`` (a real path).
    """
    with open_photo(path, root) as image:
        turn = orientation(image)
        target = image.size
        if fit is not None:
            target = fit(*upright(image))
            target = target[::-1] if turn in ON_THEIR_SIDE else target
        with _decoding():
            pixels = _plain(image)
            if target != pixels.size:
                pixels = resample(pixels, target)
            pixels = _to_srgb(pixels, image.info.get("icc_profile"))
            return pixels.transpose(_TURNS[turn]) if turn in _TURNS else pixels


@contextmanager
def open_photo(path: str | os.PathLike[str], root: str | None = None) -> Iterator[Image.Image]:
    """The photo with its header read.

    Raises UnusableError if it can't be opened, or leads out of ``root`` (a real path).
    """
    with open_file(path, root) as file, _decoding():
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            known = ", ".join(FORMATS)
            raise UnusableError(
                "not-an-image", f"not an image in a known format ({known})"
            ) from None
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnusableError(
                    "too-many-pixels", f"{width}x{height} is over {MAX_PIXELS:,} pixels"
                )
            if not width or not height:
                raise UnusableError("not-an-image", f"{width}x{height}: no pixels")
            yield image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the header tells of none that means anything."""
    # Pillow would decode a whole PNG in search of EXIF behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_EXIF_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def upright(image: Image.Image) -> Size:
    """Width and height once the photo is turned as its EXIF says."""
    width, height = image.size
    return (height, width) if orientation(image) in ON_THEIR_SIDE else (width, height)


def profile_name(profile: bytes) -> str:
    """What an ICC profile calls itself, "" if it can't be read."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        return (ImageCms.getProfileDescription(opened) or "").strip()
    except _DECODER_ERRORS:
        return ""


@contextmanager
def open_file(path: str | os.PathLike[str], root: str | None = None) -> Iterator[io.BufferedReader]:
    """A photo's file, opened to read its bytes; raises UnusableError as ``open_photo`` does."""
    refuse_outside(path, root)
    try:
        # Not blocking: a named pipe called .jpg must not hold the loader for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise UnusableError("no-such-file", "no such file") from None
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise UnusableError("unreadable-file", f"can't be opened: {what}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise UnusableError("not-a-file", "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        # A folder on the way may have become a link in the moment before it was opened.
        refuse_outside(f"/proc/self/fd/{descriptor}", root)
        if found.st_size == 0:
            raise UnusableError("empty-file", "the file is empty")
        yield file


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except _DECODER_ERRORS as error:
        # An error number is the system's: the disk or the memory failed, not the photo.
        if isinstance(error, MemoryError):
            raise UnusableError("unreadable-file", "can't be read: out of memory") from error
        if isinstance(error, OSError) and error.errno is not None:
            raise UnusableError("unreadable-file", f"can't be read: {error.strerror}") from error
        what = first_line(error)
        raise UnusableError("cannot-be-decoded", f"can't be decoded: {what}") from error


def _plain(image: Image.Image) -> Image.Image:
    """RGB pixels, or CMYK ones where a profile says how to read them."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (*_GROUND, 255))
        ground.alpha_composite(image.convert("RGBA"))
        return ground.convert("RGB")
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.mode == "RGB" or (image.mode == "CMYK" and "icc_profile" in image.info):
        image.load()
        return image
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: 16 bits are scaled, floats in 0 to 1 as well."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values) * (65535 if np.nanmax(values, initial=0) <= 1 else 1)
    return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        image = ImageCms.applyTransform(image, transform) or image
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """A conversion to sRGB; None where the profile is sRGB, broken, or for another mode."""
    if "srgb" in profile_name(profile).lower():
        return None
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except _DECODER_ERRORS:
        return None
