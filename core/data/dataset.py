"""Rows of a JSONL file as samples: surveyed once from the headers, decoded when they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import BadRows
from core.data.images import BadImageError, upright_size
from core.data.schemas import BadRowError, Row, parse_row
from core.data.tokens import PixelGeometry
from core.errors import UsageError


@dataclass(frozen=True)
class SetAside:
    """A row that can't be used; ``line`` counts from 1."""

    line: int
    reason: str


@dataclass(frozen=True)
class SignRows:
    """The usable rows of one JSONL file, by byte offset, with the sizes their headers give.

    ``lines`` (n,) line numbers from 1, ``offsets`` (n,) bytes, ``sizes`` (n, 2) upright width
    and height in pixels, ``text_bytes`` (n,) of prompt and answer in UTF-8.
    """

    path: Path
    lines: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    set_aside: tuple[SetAside, ...]

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Row:
        """The row at ``index``, read from the file."""
        with self.path.open("rb") as file:
            file.seek(int(self.offsets[index]))
            return parse_row(file.readline(), self.path.parent)

    def image_tokens(self, geometry: PixelGeometry, max_pixels: int) -> NDArray[np.int64]:
        """Image tokens of every row at a pixel budget, shape (n,)."""
        counts = (geometry.image_tokens(int(w), int(h), max_pixels) for w, h in self.sizes)
        return np.fromiter(counts, dtype=np.int64, count=len(self))


def open_rows(path: Path, bad_rows: BadRows) -> SignRows:
    """Reads a JSONL file and the headers of its photos.

    A row that can't be used is refused, with the file, line and reason, or set aside with that
    reason on record. Raises UsageError for it, for a missing file, and for no usable row.
    """
    found: list[tuple[int, int, int, int, int]] = []
    set_aside: list[SetAside] = []
    for line_number, offset, line in _lines(path):
        try:
            row = parse_row(line, path.parent)
            width, height = _usable_size(row.image)
        except BadRowError as problem:
            set_aside.append(SetAside(line_number, str(problem)))
            continue
        found.append((line_number, offset, width, height, len((row.prompt + row.answer).encode())))
    if set_aside and bad_rows == "refuse":
        raise UsageError(_refusal(path, set_aside))
    if not found:
        raise UsageError(f"{path}: no usable row; {_first_reason(set_aside)}")
    table = np.array(found, dtype=np.int64)
    return SignRows(
        path=path,
        lines=table[:, 0],
        offsets=table[:, 1],
        sizes=table[:, 2:4],
        text_bytes=table[:, 4],
        set_aside=tuple(set_aside),
    )


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Line number from 1, byte offset and content of every line that isn't blank."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give the path of a Qwen2-VL JSONL file") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    offset = 0
    with file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, offset, line
            offset += len(line)


def _usable_size(image: Path) -> tuple[int, int]:
    try:
        width, height = upright_size(image)
        PixelGeometry(patch=1, merge=1, min_pixels=1).grid(width, height, width * height)
    except (BadImageError, UsageError) as problem:
        raise BadRowError(f"{image}: {problem}") from problem
    return width, height


def _refusal(path: Path, set_aside: list[SetAside]) -> str:
    more = f" (and {len(set_aside) - 1} more such rows)" if len(set_aside) > 1 else ""
    first = set_aside[0]
    return (
        f"{path} row {first.line}: {first.reason}{more}; mend the row, "
        'or set bad rows aside with data.bad_rows = "set-aside" (--set-aside-bad-rows)'
    )


def _first_reason(set_aside: list[SetAside]) -> str:
    return f"row {set_aside[0].line}: {set_aside[0].reason}" if set_aside else "the file is empty"
