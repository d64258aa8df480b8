"""What reads signs: a model of ours, or any other program, behind one protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Size = tuple[int, int]


@dataclass(frozen=True)
class Photo:
    """A photo to read and what is asked about it.

    ``size`` is its upright width and height in pixels, None where its file can't be opened; where
    ``root`` (a real path) is given the photo may not lead out of that folder.
    """

    path: str
    prompt: str
    size: Size | None
    root: str | None


@dataclass(frozen=True)
class Reply:
    """What a reader says of one photo; ``why`` tells why there is no ``text``.

    ``tokens`` were generated, ``cut`` says that only the most that may be generated ended them,
    and ``read_size`` is the width and height (pixels) that the reader looked at.
    """

    text: str | None
    tokens: int | None = None
    cut: bool = False
    why: str | None = None
    read_size: Size | None = None


class Reader(Protocol):
    """Reads photos, ``at_a_time`` of them at most; ``title`` names it for people."""

    title: str
    at_a_time: int

    def read(self, photos: Sequence[Photo]) -> list[Reply]:
        """One reply a photo, in their order.

        A photo that can't be read has a reply that says why, never an exception.
        """


@runtime_checkable
class LooksAhead(Protocol):
    """A reader that can open photos while it still reads others."""

    def look_ahead(self, photos: Sequence[Photo]) -> None:
        """Begins to open what will be read next."""


@runtime_checkable
class HasNotes(Protocol):
    """A reader that has something to say once it's open; ``notes`` are lines for people."""

    notes: tuple[str, ...]


def pixels_of(photo: Photo) -> int:
    """How long a photo is to a reader of which no more is known; 0 where its size isn't."""
    return 0 if photo.size is None else photo.size[0] * photo.size[1]
