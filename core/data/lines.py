"""The lines of a JSONL file, with their numbers and byte offsets."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.data.schemas import MAX_LINE_BYTES
from core.errors import UsageError


def numbered_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number (from 1), byte offset and content of every line that isn't blank, without a BOM.

    Of a line over MAX_LINE_BYTES only that many bytes and one more are given. Raises UsageError
    if the file can't be read.
    """
    try:
        # A device or a pipe in a data set's folder would be read for ever.
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: not a file; give the path of a JSONL file")
        with path.open("rb") as file:
            yield from _lines(file)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give the path of a JSONL file") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error


def _lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    offset = number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        start = offset
        offset += len(line)
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
            offset += len(rest)
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            line = line.removeprefix(codecs.BOM_UTF8)
            start += len(codecs.BOM_UTF8)
        if line.strip():
            yield number, start, line
