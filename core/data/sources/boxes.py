"""Photos with boxes of text, as a row a photo or a row a box."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from core.data.schemas import clean
from core.data.sources.items import Box, Item, Labelled, Rejected

ILLEGIBLE = frozenset({"", "xxx"})


@dataclass(frozen=True)
class BoxedText:
    """A text and its box: left, top, width and height in pixels."""

    place: str
    text: str
    bbox: tuple[float, float, float, float]

    @property
    def legible(self) -> bool:
        return clean(self.text).lower() not in ILLEGIBLE


@dataclass(frozen=True)
class BoxedPhoto:
    """A photo with its boxes; ``frame`` is the width and height (pixels) that they are in."""

    place: str
    image: str
    frame: tuple[int, int]
    boxes: list[BoxedText]
    metadata: dict[str, Any] = field(default_factory=dict)


def as_items(photo: BoxedPhoto, *, crops: bool) -> Iterator[Item]:
    """A row a legible box, or one row with all legible texts in reading order."""
    if crops:
        yield from (_crop(photo, box) for box in photo.boxes)
        return
    answer = " ".join(clean(box.text) for box in in_reading_order(photo.boxes) if box.legible)
    if answer:
        yield Labelled(photo.place, photo.image, answer, metadata=photo.metadata)
    else:
        yield Rejected(photo.place, "illegible", f"{photo.image}: no legible text on it")


def in_reading_order(boxes: list[BoxedText]) -> list[BoxedText]:
    """Lines from top to bottom, each from left to right.

    A box belongs to the line above it where its middle is higher than that line's first bottom.
    """
    ordered: list[BoxedText] = []
    line: list[BoxedText] = []
    for box in sorted(boxes, key=lambda box: box.bbox[1]):
        middle = box.bbox[1] + box.bbox[3] / 2
        if line and middle > line[0].bbox[1] + line[0].bbox[3]:
            ordered += sorted(line, key=lambda box: box.bbox[0])
            line = []
        line.append(box)
    return ordered + sorted(line, key=lambda box: box.bbox[0])


def _crop(photo: BoxedPhoto, box: BoxedText) -> Item:
    if not box.legible:
        return Rejected(box.place, "illegible", f"{photo.image}: the text is not legible")
    left, top, width, height = box.bbox
    return Labelled(
        place=box.place,
        image=photo.image,
        answer=clean(box.text),
        metadata=photo.metadata,
        box=Box(left, top, width, height, photo.frame),
    )
