"""What a conversion did with every row, and from and to which bytes."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from core.data.sources.items import Rejected


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A label file, or a folder of them: as it was named, and its SHA-256 (hex)."""

    path: str
    kind: str
    split: str
    sha256: str


class OutputFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: a name in the data set's folder, and its SHA-256 (hex)."""

    name: str
    rows: int
    sha256: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """``inputs`` rows are ``kept`` or set aside, each of those with its place and reason."""

    inputs: int
    kept: int
    set_aside: dict[str, int]
    train: int
    validation: int
    groups: int | None
    options: dict[str, Any]
    sources: tuple[SourceFile, ...]
    outputs: tuple[OutputFile, ...]
    kocr_tui: str
    rows_set_aside: tuple[Rejected, ...]


def counted(rejected: list[Rejected]) -> dict[str, int]:
    """Rows a reason, the most frequent first."""
    counts = Counter(item.reason for item in rejected)
    return {str(reason): count for reason, count in sorted(counts.items(), key=_most_first)}


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file; of a folder, of the names and sums of all files in it."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for file_path in sorted(path.rglob("*")):
        if file_path.is_file():
            name = file_path.relative_to(path).as_posix()
            total.update(f"{name}\0{sha256_of(file_path)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
