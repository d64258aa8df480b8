"""AI Hub #81, text in the wild: all photos and boxes in one ``textinthewild_data_info.json``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.data.sources.boxes import BoxedPhoto, BoxedText, as_items
from core.data.sources.items import Item, Rejected, decode_file, each_decoded, read_json


class InfoFile(msgspec.Struct, frozen=True):
    """The whole file, its elements not looked into yet."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]


class Photo(msgspec.Struct, frozen=True):
    """A photo; sizes in pixels, ``type`` such as sign, book or product."""

    id: int | str
    file_name: str
    width: int
    height: int
    type: str = ""


class Annotation(msgspec.Struct, frozen=True):
    """A text on a photo, and left, top, width and height of its box in pixels."""

    image_id: int | str
    bbox: tuple[float, float, float, float]
    text: str = ""
    attributes: dict[str, Any] = {}


def read(path: Path, *, crops: bool) -> Iterator[Item]:
    """The photos of the file in its order.

    Boxes of single characters repeat what the boxes of words say, and are no inputs of their own.
    """
    file = decode_file(read_json(path), path, InfoFile)
    boxes: dict[int | str, list[BoxedText]] = {}
    for place, each in each_decoded(f"{path.name} annotations", file.annotations, Annotation):
        if isinstance(each, Rejected):
            yield each
        elif each.attributes.get("class") != "character":
            boxes.setdefault(each.image_id, []).append(BoxedText(place, each.text, each.bbox))
    for place, photo in each_decoded(f"{path.name} images", file.images, Photo):
        if isinstance(photo, Rejected):
            yield photo
            continue
        metadata = {"type": photo.type} if photo.type else {}
        size = (photo.width, photo.height)
        found = BoxedPhoto(place, photo.file_name, size, boxes.pop(photo.id, []), metadata)
        yield from as_items(found, crops=crops)
    for image_id, orphans in boxes.items():
        for box in orphans:
            yield Rejected(box.place, "unknown-image", f"there is no image with id {image_id!r}")
