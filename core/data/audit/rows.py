"""The rows of a data set as an audit looks at them."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.audit.report import BadRow
from core.data.finder import PhotoFinder
from core.data.lines import numbered_lines
from core.data.schemas import parse_row
from core.data.unusable import UnusableError
from core.errors import UsageError

SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row with good texts; ``nfc``: whether it was stored in NFC, ``location``: a place."""

    file: Path
    validation: bool
    line: int
    photo: str
    prompt: str
    answer: str
    nfc: bool
    location: Any

    @property
    def place(self) -> str:
        """Where to look it up."""
        return f"{self.file.name} line {self.line}"

    @property
    def told(self) -> str:
        """Place and answer, for an example."""
        return f"{self.place}: {self.answer[:60]}"


def find_files(data: Path, validation: Path | None) -> list[tuple[Path, bool]]:
    """The JSONL files of a data set, each with whether it is for validation.

    ``data`` is a JSONL file, or a folder with train.jsonl and perhaps validation.jsonl. Raises
    UsageError if there is none.
    """
    if data.is_dir():
        found = [(data / f"{split}.jsonl", split == "validation") for split in SPLITS]
        files = [(path, side) for path, side in found if path.exists()]
        if not files:
            raise UsageError(f"{data}: no train.jsonl in it; give a JSONL file, or convert first")
    else:
        files = [(data, False)]
    if validation is not None:
        files = [entry for entry in files if not entry[1]] + [(validation, True)]
    return files


def read_rows(
    files: list[tuple[Path, bool]], root: str | None
) -> tuple[list[AuditRow], list[BadRow]]:
    """All rows of the files, and those whose texts or photo names are bad or lead out of a root."""
    rows: list[AuditRow] = []
    bad: list[BadRow] = []
    for path, validation in files:
        finder = PhotoFinder(path.parent, root)
        for number, _offset, line in numbered_lines(path):
            try:
                row = parse_row(line)
                photo = finder.find(row.image)
            except UnusableError as problem:
                bad.append(bad_row(path, number, problem))
                continue
            nfc = unicodedata.is_normalized("NFC", line.decode())
            location = (row.metadata or {}).get("location")
            rows.append(
                AuditRow(path, validation, number, photo, row.prompt, row.answer, nfc, location)
            )
    return rows, bad


def bad_row(file: Path, line: int, problem: UnusableError) -> BadRow:
    """The record of a row that can't be used."""
    return BadRow(file=str(file), line=line, reason=problem.reason, sentence=str(problem))
