"""AI Hub #105, outdoor photos with Korean text: a folder with one JSON a photo."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.data.sources.boxes import BoxedPhoto, BoxedText, as_items
from core.data.sources.items import BOM, Item, Rejected, decode_element
from core.data.unusable import UnusableError


class Photo(msgspec.Struct, frozen=True):
    """The photo that a label file is about; sizes in pixels."""

    file_name: str
    width: int
    height: int


class Annotation(msgspec.Struct, frozen=True):
    """A text, and left, top, width and height of its box in pixels."""

    bbox: tuple[float, float, float, float]
    text: str = ""


class LabelFile(msgspec.Struct, frozen=True):
    """One label file."""

    images: list[Photo]
    annotations: list[Annotation] = []


def read(folder: Path, *, crops: bool) -> Iterator[Item]:
    """The photos of every JSON below ``folder``, in the order of their names."""
    for path in sorted(folder.rglob("*.json")):
        place = path.relative_to(folder).as_posix()
        try:
            photo = _photo(place, path)
        except UnusableError as problem:
            yield Rejected.of(place, problem)
        else:
            yield from as_items(photo, crops=crops)


def _photo(place: str, path: Path) -> BoxedPhoto:
    try:
        content = path.read_bytes().removeprefix(BOM)
    except OSError as error:
        raise UnusableError("unreadable-file", f"can't be read: {error.strerror}") from error
    file = decode_element(content, LabelFile)
    if len(file.images) != 1:
        raise UnusableError(
            "wrong-image-count", f"expected one photo in images, found {len(file.images)}"
        )
    [photo] = file.images
    boxes = [
        BoxedText(f"{place} annotations[{index}]", each.text, each.bbox)
        for index, each in enumerate(file.annotations)
    ]
    return BoxedPhoto(place, photo.file_name, (photo.width, photo.height), boxes)
