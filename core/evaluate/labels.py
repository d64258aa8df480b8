"""The labelled rows of a JSONL file, whether or not their photos are on this box."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core.data.dataset import SetAside
from core.data.finder import PhotoFinder
from core.data.images import open_file
from core.data.lines import numbered_lines
from core.data.order import validation_order
from core.data.photos import PhotoBook
from core.data.schemas import parse_row
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.evaluate.predictions import ReadRow, row_id


class LabelledRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row: its line from 1, its photo's absolute path and name as written, and what it says.

    ``given_id`` is the "id" that the row or its metadata has, as text. ``size`` is the photo's
    upright width and height in pixels; None where it can't be opened, and ``why`` says why then.
    """

    line: int
    image: str
    name: str
    prompt: str
    truth: str
    given_id: str | None = None
    metadata: dict[str, Any] | None = None
    size: tuple[int, int] | None = None
    why: str | None = None

    def unread(self, image_hash: str | None) -> ReadRow:
        """The record of the row before anything has read it."""
        return ReadRow(
            row=self.line,
            id=row_id(image_hash, self.image, self.prompt, self.truth),
            image=self.image,
            image_hash=image_hash,
            prompt=self.prompt,
            truth=self.truth,
            size=self.size,
            metadata=self.metadata,
        )


class _Identified(msgspec.Struct, frozen=True):
    """What a row may have beside its messages."""

    id: Any = None


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def labelled_rows(
    path: Path,
    book: PhotoBook,
    *,
    root: str | None = None,
    count: int | None = None,
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
    aside: list[SetAside] | None = None,
) -> list[LabelledRow]:
    """The rows of a file in its order, or ``count`` of them drawn by the seed.

    They are drawn as a run draws the rows of its baseline. ``tell`` hears of photos looked at and
    in all. Raises UsageError for no row, and for one that can't be used (except for its photo)
    unless there is a list to put such rows ``aside`` in.
    """
    root = os.path.realpath(root) if root else None
    finder = PhotoFinder(path.parent, root)
    rows: list[LabelledRow] = []
    for number, _offset, line in numbered_lines(path):
        try:
            row = parse_row(line)
            image = finder.find(row.image)
        except UnusableError as problem:
            if aside is None:
                raise UsageError(f"{path} row {number}: {problem}; mend the row") from problem
            aside.append(SetAside(number, problem.reason, str(problem)))
            continue
        rows.append(
            LabelledRow(
                line=number,
                image=image,
                name=row.image,
                prompt=row.prompt,
                truth=row.answer,
                given_id=_given_id(line, row.metadata),
                metadata=row.metadata,
            )
        )
    if not rows:
        raise UsageError(f"{path}: no rows in it")
    if count is not None:
        rows = [rows[place] for place in drawn(len(rows), count, seed)]
    facts = book.facts([row.image for row in rows], "header", tell, root)
    return [
        msgspec.structs.replace(row, size=(fact.width, fact.height))
        if fact.reason is None
        else msgspec.structs.replace(row, why=fact.sentence)
        for row, fact in zip(rows, facts, strict=True)
    ]


def drawn(rows: int, count: int, seed: int) -> list[int]:
    """The places (from 0) of ``count`` rows of ``rows``, or of all where there are no more."""
    return sorted(validation_order(seed, rows)[:count].tolist())


def _given_id(line: bytes, metadata: dict[str, Any] | None) -> str | None:
    for given in (_IDENTIFIED.decode(line).id, (metadata or {}).get("id")):
        if isinstance(given, str | int):
            return str(given)
    return None


def photo_hash(path: str, root: str | None = None) -> str | None:
    """SHA-256 (hex) of a photo's file; None where it can't be read, or leads out of ``root``."""
    try:
        with open_file(path, root) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (UnusableError, OSError):
        return None
