"""Files of predictions: a header, then an object a row, appended to while rows are read."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from core.data.lines import numbered_lines
from core.errors import UsageError, first_line
from core.nfc import nfc

VERSION = 1
_ID_CHARACTERS = 16


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a file were read with; ``settings`` has what else decides the replies.

    ``reader`` is its title, ``rows`` how many rows a whole file has, ``versions`` those of the
    packages that read.
    """

    predictions: int = VERSION
    reader: str
    model: str | None = None
    adapter: str | None = None
    max_pixels: int | None = None
    data: str | None = None
    rows: int | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row, what was read on its photo, and its scores.

    ``row`` is the line in the data's JSONL from 1, ``id`` what `row_id` makes of its content,
    ``image_hash`` the SHA-256 (hex) of the photo's file. ``reply`` is the reader's own words,
    ``extracted`` the answer in them, ``why`` says why there is no reply; ``tokens`` were generated,
    and ``cut`` is true where only their bound ended the reply. ``ms`` is the batch's time over its
    rows. ``size`` is the photo's upright width and height in pixels, ``read_size`` what the reader
    made of it. ``scores`` are the RowMeasures of the extracted answer.
    """

    row: int
    id: str
    image: str
    image_hash: str | None = None
    prompt: str
    truth: str
    reply: str | None = None
    extracted: str | None = None
    why: str | None = None
    tokens: int | None = None
    cut: bool = False
    ms: float | None = None
    size: tuple[int, int] | None = None
    read_size: tuple[int, int] | None = None
    metadata: dict[str, Any] | None = None
    scores: dict[str, Any] = {}


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of predictions holds; one without a header was made by something else."""

    header: Header | None
    rows: tuple[ReadRow, ...]


_ENCODER = msgspec.json.Encoder()
_ROW = msgspec.json.Decoder(ReadRow)
_HEADER = msgspec.json.Decoder(Header)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def row_id(image_hash: str | None, image: str, prompt: str, truth: str) -> str:
    """16 hex digits that tell a row by its content, wherever it and its photo lie.

    Of SHA-256 over the photo's hash (its file's name in NFC where that isn't known), the prompt
    and the truth in NFC, with NUL between them.
    """
    photo = image_hash or nfc(os.path.basename(image))  # noqa: PTH119 - as text, of 17,272 rows
    content = "\0".join((photo, prompt, nfc(truth)))
    encoded = content.encode("utf-8", "surrogateescape")
    return hashlib.sha256(encoded).hexdigest()[:_ID_CHARACTERS]


def read_predictions(path: Path) -> Predictions:
    """The header and rows of a file; a half-written last line, which a kill leaves, is ignored.

    Objects without "row" are no rows. Raises UsageError that names the file and the line for what
    is no prediction, and for a file that can't be read.
    """
    header: Header | None = None
    rows: list[ReadRow] = []
    for number, _offset, line in numbered_lines(path):
        try:
            found = _decode(line)
        except _UNREADABLE as error:
            if not line.endswith(b"\n"):
                break
            raise UsageError(f"{path} line {number}: no prediction: {first_line(error)}") from error
        if isinstance(found, ReadRow):
            rows.append(found)
        elif found is not None and header is None and not rows:
            header = found
    return Predictions(header=header, rows=tuple(rows))


def _decode(line: bytes) -> ReadRow | Header | None:
    keys = _KEYS.decode(line)
    if "row" in keys:
        return _ROW.decode(line)
    return _HEADER.decode(line) if "predictions" in keys else None


class PredictionsWriter:
    """Appends rows to a file of predictions, which it makes or goes on with.

    ``done`` are the rows that were in the file. Raises UsageError for a file with another header
    or of another kind, and OSError where it can't be written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        kept = _kept(path, header)
        self.done = kept.rows if kept is not None else ()
        if kept is not None:
            _end_last_line(path)
        self._file: BinaryIO = path.open("ab")
        if kept is None or kept.header is None:
            self.append([header])

    def append(self, rows: Iterable[msgspec.Struct]) -> None:
        """Writes rows, all of them before it returns; a power cut may still take them."""
        self._file.write(b"".join(_ENCODER.encode(row) + b"\n" for row in rows))
        self._file.flush()

    def close(self) -> None:
        """Flushes the file to the disk and closes it."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def write_predictions(path: Path, header: Header, rows: Sequence[ReadRow]) -> None:
    """Writes a whole file beside its place, then renames it over an earlier one.

    Raises UsageError where there is a file with another header or of another kind.
    """
    _kept(path, header)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(b"".join(_ENCODER.encode(value) + b"\n" for value in (header, *rows)))
    beside.replace(path)


def _kept(path: Path, header: Header) -> Predictions | None:
    """What is in the file, None where there is nothing; refuses what isn't this header's."""
    if not path.exists() or not path.stat().st_size:
        return None
    kept = read_predictions(path)
    if kept.header is None:
        # Half a header is all that a kill can leave at a file's beginning.
        if b"\n" in path.read_bytes():
            raise UsageError(f"{path}: no file of predictions with a header; give another --out")
        return kept
    if kept.header != header:
        before, now = msgspec.to_builtins(kept.header), msgspec.to_builtins(header)
        name = next(name for name in now if before[name] != now[name])
        raise UsageError(
            f"{path}: was begun with {name} {before[name]!r}, not {now[name]!r}; give another "
            "--out, or delete the file"
        )
    return kept


def _end_last_line(path: Path) -> None:
    """Ends a last line that lacks its end, or cuts it off where only half of it was written."""
    with path.open("rb+") as file:
        content = file.read()
        start = content.rfind(b"\n") + 1
        if start == len(content):
            return
        try:
            _decode(content[start:])
        except _UNREADABLE:
            file.truncate(start)
        else:
            file.write(b"\n")
