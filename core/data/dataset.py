"""The usable rows of a JSONL file: arrays of where they are and how large, nothing decoded."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.schemas import Row, parse_row
from core.data.tokens import PixelGeometry
from core.data.unusable import Reason, UnusableError

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class SetAside:
    """A row that can't be used; ``line`` counts from 1, ``sentence`` names the photo or fault."""

    line: int
    reason: Reason
    sentence: str


@dataclass(frozen=True)
class TextArray:
    """``n`` texts in one array: UTF-8 ``content`` (bytes) and ``ends`` (n,) of each in it."""

    content: NDArray[np.uint8]
    ends: Numbers

    @classmethod
    def of(cls, texts: list[str]) -> "TextArray":
        """File names that are no UTF-8 are kept as they are."""
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        lengths = np.array([len(text) for text in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = int(self.ends[index - 1]) if index else 0
        return self.content[start : self.ends[index]].tobytes().decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class SignRows:
    """The usable rows of one JSONL file, in its order.

    ``lines`` (n,) line numbers from 1; ``offsets``, ``lengths`` (n,) bytes of each line in the
    file and ``checksums`` (n,) its CRC-32; ``sizes`` (n, 2) upright width and height in pixels;
    ``text_bytes`` (n,) of prompt and answer in UTF-8; ``photos`` (n,) absolute paths, none of which
    may lead out of ``root`` (a real path) where there is one.
    """

    path: Path
    lines: Numbers
    offsets: Numbers
    lengths: Numbers
    checksums: Numbers
    sizes: Numbers
    text_bytes: Numbers
    photos: TextArray
    set_aside: tuple[SetAside, ...]
    root: str | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Row:
        """The row at ``index``, read from the file, with its photo's absolute path.

        Raises UnusableError ("row-changed") if the file is not what was opened.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(int(self.offsets[index]))
                line = file.read(int(self.lengths[index]))
        except OSError as error:
            raise UnusableError(
                "row-changed", f"{self.path}: can't be read any more: {error.strerror}"
            ) from error
        if zlib.crc32(line) != self.checksums[index]:
            raise UnusableError("row-changed", "the row was changed since the file was opened")
        row = parse_row(line)
        return Row(self.photos[index], row.prompt, row.answer, row.metadata, self.root)

    def size(self, index: int) -> tuple[int, int]:
        """Upright width and height in pixels of the photo at ``index``."""
        width, height = self.sizes[index].tolist()
        return width, height

    def image_tokens(self, geometry: PixelGeometry, max_pixels: int) -> Numbers:
        """Image tokens of every row at a pixel budget, shape (n,)."""
        distinct, places = np.unique(self.sizes, axis=0, return_inverse=True)
        counts = [geometry.image_tokens(w, h, max_pixels) for w, h in distinct.tolist()]
        return np.array(counts, dtype=np.int64)[places.ravel()]
