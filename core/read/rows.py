"""The rows of a JSONL that have a label, those whose photo can't be read among them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.dataset import SetAside
from core.data.lines import numbered_lines
from core.data.order import validation_order
from core.data.photos import Progress
from core.data.schemas import Row, parse_row
from core.data.survey import open_rows
from core.data.unusable import UnusableError
from core.read.reader import Photo
from core.run_dir import home


@dataclass(frozen=True)
class LabelledRow:
    """A row to read: ``line`` counts from 1, ``why`` says why its photo can't be read."""

    line: int
    row: Row
    photo: Photo
    why: str | None


@dataclass(frozen=True)
class LabelledRows:
    """All rows with a label in the file's order, and those that have none to score against.

    ``digest`` is the SHA-256 (hex) of the file.
    """

    rows: list[LabelledRow]
    unlabelled: tuple[SetAside, ...]
    digest: str

    def chosen(self, seed: int, count: int | None) -> list[LabelledRow]:
        """All of them, or ``count``: the first of the order in which validation draws them."""
        if count is None:
            return self.rows
        return [self.rows[index] for index in validation_order(seed, len(self.rows))[:count]]


def open_labelled(path: Path, root: str | None, tell: Progress | None = None) -> LabelledRows:
    """Opens rows to score; a photo that can't be read is one that is read wrongly.

    Raises UsageError for a missing file, and where no row can be used.
    """
    usable = open_rows(path, "set-aside", home() / "cache", tell, root=root)
    places = {int(line): index for index, line in enumerate(usable.lines)}
    why = {bad.line: bad for bad in usable.set_aside}
    rows: list[LabelledRow] = []
    unlabelled: list[SetAside] = []
    for number, _offset, line in numbered_lines(path):
        try:
            row = parse_row(line)
        except UnusableError as problem:
            unlabelled.append(SetAside(number, problem.reason, str(problem)))
            continue
        if (index := places.get(number)) is not None:
            photo = Photo(usable.photos[index], row.prompt, usable.size(index), usable.root)
            rows.append(LabelledRow(number, row, photo, None))
        else:
            photo = Photo(_shown_path(path, row.image), row.prompt, None, usable.root)
            reason = why[number].sentence if number in why else "the file was changed meanwhile"
            rows.append(LabelledRow(number, row, photo, reason))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LabelledRows(rows, tuple(unlabelled), digest)


def _shown_path(data: Path, image: str) -> str:
    """Where a photo would be that can't be read; it is not opened."""
    return os.path.join(data.parent, image)  # noqa: PTH118 - as text, since it may be no path


Batches = list[list[LabelledRow]]


def batches_of(
    rows: Sequence[LabelledRow], at_a_time: int, tokens: Callable[[Photo], int]
) -> Batches:
    """All rows in batches, the longest first, so that what is side by side is about as long.

    By image tokens, then by text, then by line; rows that can't be read come last.
    """

    def longest_first(one: LabelledRow) -> tuple[bool, int, int, int]:
        text = len(one.row.prompt.encode())
        return one.why is not None, -tokens(one.photo), -text, one.line

    ordered = sorted(rows, key=longest_first)
    return [ordered[start : start + at_a_time] for start in range(0, len(ordered), at_a_time)]
