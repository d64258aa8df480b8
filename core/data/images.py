"""Opening photos: size from the header, upright and RGB pixels, and plain words for bad files."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 200_000_000
_EXIF_ORIENTATION = 0x0112
_ORIENTATIONS_ON_THEIR_SIDE = frozenset({5, 6, 7, 8})
_GROUND = (255, 255, 255)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class BadImageError(Exception):
    """A photo that can't be used; the message is the reason, without the path."""


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as the photo is seen, from its header alone.

    Raises BadImageError with the reason if the file is not a photo that can be opened.
    """
    with _open(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadImageError(f"{width}x{height} is over {MAX_PIXELS:,} pixels")
        turned = image.getexif().get(_EXIF_ORIENTATION) in _ORIENTATIONS_ON_THEIR_SIDE
    return (height, width) if turned else (width, height)


def open_upright(path: Path) -> Image.Image:
    """The decoded photo, turned as its EXIF says, RGB, transparency laid over white.

    Raises BadImageError with the reason if it can't be decoded whole.
    """
    try:
        with _open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return _to_rgb(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImageError(f"can't be decoded: {error}") from error


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise BadImageError("no such file") from None
    except UnidentifiedImageError:
        raise BadImageError(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise BadImageError(f"over {MAX_PIXELS:,} pixels: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError(f"can't be opened: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (*_GROUND, 255))
        ground.alpha_composite(image.convert("RGBA"))
        return ground.convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":
        high_bytes = np.asarray(image).clip(0, 65535) // 256
        return Image.fromarray(high_bytes.astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
