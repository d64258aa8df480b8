"""Boxes cut out of photos, whichever way up the boxes were drawn."""

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from core.data.images import ON_THEIR_SIDE, read_photo
from core.data.sources.items import Box
from core.data.tokens import MAX_ASPECT_RATIO
from core.data.unusable import UnusableError

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class CropJob:
    """All boxes of one photo, each with the file that its crop is written to."""

    photo: str
    orientation: int
    boxes: tuple[tuple[Box, Path], ...]


def write_crops(job: CropJob) -> list[UnusableError | None]:
    """Writes a PNG a box; for each, None or why there is none."""
    try:
        photo = read_photo(job.photo)
    except UnusableError as problem:
        return [problem] * len(job.boxes)
    return [_write(photo, job.orientation, box, file) for box, file in job.boxes]


def _write(photo: Image.Image, orientation: int, box: Box, file: Path) -> UnusableError | None:
    try:
        photo.crop(upright_rectangle(box, photo.size, orientation)).save(file)
    except UnusableError as problem:
        return problem
    return None


def upright_rectangle(box: Box, size: tuple[int, int], orientation: int) -> Rectangle:
    """Left, top, right and bottom (pixels) of a box on the photo as it is seen.

    ``size`` is the photo's upright width and height. Where the label's frame is that, the box is
    taken as it is; where it is the stored photo's, it is turned by the EXIF ``orientation``.
    Raises UnusableError for a frame that is neither, and for a box with nothing of the photo in it.
    """
    corners = [(box.left, box.top), (box.left + box.width, box.top + box.height)]
    stored = size[::-1] if orientation in ON_THEIR_SIDE else size
    if box.frame != size:
        if box.frame != stored:
            raise UnusableError(
                "size-mismatch",
                f"the label is for a photo of {box.frame[0]}x{box.frame[1]}, "
                f"the file has {stored[0]}x{stored[1]}",
            )
        corners = [_turn(x, y, stored, orientation) for x, y in corners]
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*corners, strict=True))
    rectangle = (
        math.floor(max(0, left)),
        math.floor(max(0, top)),
        math.ceil(min(size[0], right)),
        math.ceil(min(size[1], bottom)),
    )
    width, height = rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]
    if box.width <= 0 or box.height <= 0 or width < 1 or height < 1:
        raise UnusableError(
            "bad-box",
            f"nothing of the photo is in the box {box.left:g}, {box.top:g}, "
            f"{box.width:g} x {box.height:g}",
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise UnusableError(
            "too-long-for-its-breadth",
            f"{width}x{height}: over {MAX_ASPECT_RATIO} times longer than broad",
        )
    return rectangle


def _turn(x: float, y: float, stored: tuple[int, int], orientation: int) -> tuple[float, float]:
    """Where a point of the stored photo stands once it is turned as its EXIF says."""
    width, height = stored
    turned = {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }
    return turned.get(orientation, (x, y))
