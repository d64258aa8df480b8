"""What tells the rows of a JSONL file from others, wherever the file and its photos lie."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.contract import RowsIdentity
from core.data.dataset import SignRows
from core.data.receipt import sha256_of
from core.data.schemas import parse_row
from core.data.unusable import UnusableError

_NO_FILE = -1


def rows_identity(rows: SignRows, known: RowsIdentity | None = None) -> RowsIdentity:
    """The rows' identity; texts are read anew only where ``known`` is of another source."""
    source = _source(rows)
    texts = known.texts if known is not None and known.source == source else _texts(rows)
    return RowsIdentity(
        file=rows.path.name,
        rows=len(rows),
        set_aside=len(rows.set_aside),
        source=source,
        texts=texts,
        photos=_photos(rows),
    )


def _source(rows: SignRows) -> str:
    total = hashlib.sha256(sha256_of(rows.path).encode())
    total.update(np.ascontiguousarray(rows.lines, dtype="<i8").tobytes())
    return total.hexdigest()


def _texts(rows: SignRows) -> str:
    total = hashlib.sha256()
    for line in _lines(rows):
        try:
            row = parse_row(line)
        except UnusableError:
            parts = [line]
        else:
            parts = [row.prompt.encode(), row.answer.encode()]
        for part in parts:
            total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def _lines(rows: SignRows) -> Iterator[bytes]:
    with rows.path.open("rb") as file:
        for offset, length in zip(rows.offsets.tolist(), rows.lengths.tolist(), strict=True):
            file.seek(offset)
            yield file.read(length)


def _photos(rows: SignRows) -> str:
    """Of every row's photo; a photo's own bytes are too many to be read at every resume."""
    sizes = (_bytes_on_disk(rows.photos[index]) for index in range(len(rows)))
    on_disk = np.fromiter(sizes, dtype="<i8", count=len(rows))
    return hashlib.sha256(
        np.column_stack((rows.sizes, on_disk)).astype("<i8").tobytes()
    ).hexdigest()


def _bytes_on_disk(path: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        return Path(path).stat().st_size
    return _NO_FILE
