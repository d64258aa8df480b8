"""Opening a JSONL file: every row parsed and every photo's header read once, then remembered."""

import contextlib
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from core.config import BadRows
from core.data.boundary import Boundary
from core.data.dataset import Numbers, SetAside, SignRows, TextArray
from core.data.finder import PhotoFinder
from core.data.lines import numbered_lines
from core.data.photo_cache import Identity
from core.data.photos import PhotoBook, Progress, identify
from core.data.schemas import parse_row
from core.data.unusable import UnusableError
from core.errors import UsageError

PHOTO_CACHE = "photos.sqlite"
_VERSION = 1
_COLUMNS = 5
_NO_FILE: Identity = (-1, -1)


@dataclass(frozen=True)
class _Survey:
    """What a file held: rows, and the size and mtime (p, 2) of every photo that was looked at."""

    rows: SignRows
    looked_at: TextArray
    identities: Numbers


def open_rows(
    path: Path,
    bad_rows: BadRows,
    cache: Path | None = None,
    tell: Progress | None = None,
    *,
    root: str | None = None,
) -> SignRows:
    """The usable rows of a JSONL file of Qwen2-VL chats.

    A row that can't be used is refused, with the file, line and reason, or set aside with that
    reason on record. ``cache`` is a folder in which what was read is kept for the next time;
    ``tell`` hears of photos done and in all. A photo that leads out of the folder ``root`` is not
    opened, now or later. Raises UsageError for a refused row, a missing file, and for no usable
    row.
    """
    root = os.path.realpath(root) if root else None
    kept = cache / "rows" / f"{_key(path, root)}.npz" if cache else None
    survey = _read(kept, path, root) if kept else None
    if survey is None:
        identity = identify(str(path))
        survey = _survey(path, root, PhotoBook(cache / PHOTO_CACHE if cache else None), tell)
        if kept and identity is not None and _is_lasting(survey.rows):
            _keep(survey, identity, kept)
    rows = survey.rows
    if rows.set_aside and bad_rows == "refuse":
        raise UsageError(_refusal(path, rows.set_aside))
    if not len(rows):
        first = rows.set_aside[0] if rows.set_aside else None
        why = f"row {first.line}: {first.sentence}" if first else "the file is empty"
        raise UsageError(f"{path}: no usable row; {why}")
    return rows


def _is_lasting(rows: SignRows) -> bool:
    """A missing photo is noticed when it comes; one that may not be read today is not.

    Nor is a link that led out of the root and is mended.
    """
    return all(bad.reason not in ("unreadable-file", "outside-root") for bad in rows.set_aside)


def _survey(path: Path, root: str | None, book: PhotoBook, tell: Progress | None) -> _Survey:
    finder = PhotoFinder(path.parent, root)
    set_aside: list[SetAside] = []
    table: list[int] = []
    paths: list[str] = []
    for number, offset, line in numbered_lines(path):
        try:
            row = parse_row(line)
            paths.append(finder.find(row.image))
        except UnusableError as problem:
            set_aside.append(SetAside(number, problem.reason, str(problem)))
            continue
        text_bytes = len((row.prompt + row.answer).encode())
        table += (number, offset, len(line), zlib.crc32(line), text_bytes)
    facts = book.facts(paths, "header", tell, root)
    rows = np.array(table, dtype=np.int64).reshape(-1, _COLUMNS)
    for number, photo, fact in zip(rows[:, 0].tolist(), paths, facts, strict=True):
        if fact.reason is not None:
            set_aside.append(SetAside(number, fact.reason, f"{photo}: {fact.sentence}"))
    usable = np.array([fact.reason is None for fact in facts], dtype=bool)
    sizes = np.array([(fact.width, fact.height) for fact in facts], dtype=np.int64).reshape(-1, 2)
    kept = rows[usable]
    distinct = list(dict.fromkeys(paths))
    return _Survey(
        rows=SignRows(
            path=path,
            lines=kept[:, 0],
            offsets=kept[:, 1],
            lengths=kept[:, 2],
            checksums=kept[:, 3],
            sizes=sizes[usable],
            text_bytes=kept[:, 4],
            photos=TextArray.of([photo for photo, use in zip(paths, usable, strict=True) if use]),
            set_aside=tuple(sorted(set_aside, key=lambda bad: bad.line)),
            root=root,
        ),
        looked_at=TextArray.of(distinct),
        identities=_identities(distinct),
    )


def _identities(paths: list[str]) -> Numbers:
    found = [identify(path) or _NO_FILE for path in paths]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _key(path: Path, root: str | None) -> str:
    """A survey with a root is not one for another, or for none; no path holds a NUL."""
    asked = str(path.absolute()) if root is None else f"{path.absolute()}\0{root}"
    return hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _keep(survey: _Survey, identity: Identity, file: Path) -> None:
    """Writes the survey beside and renames; what can't be written only costs time."""
    rows = survey.rows
    beside = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as out:
            np.savez(
                out,
                version=np.int64(_VERSION),
                identity=np.array(identity, dtype=np.int64),
                table=np.column_stack(
                    (rows.lines, rows.offsets, rows.lengths, rows.checksums, rows.text_bytes)
                ),
                sizes=rows.sizes,
                photos=rows.photos.content,
                photo_ends=rows.photos.ends,
                looked_at=survey.looked_at.content,
                looked_at_ends=survey.looked_at.ends,
                identities=survey.identities,
                set_aside=np.frombuffer(msgspec.msgpack.encode(rows.set_aside), dtype=np.uint8),
            )
        beside.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()


def _read(file: Path, path: Path, root: str | None) -> _Survey | None:
    """What was kept of this file, if neither it nor any of its photos has changed since."""
    identity = identify(str(path))
    if identity is None or not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if arrays["version"] != _VERSION or tuple(arrays["identity"].tolist()) != identity:
                return None
            survey = _from_arrays(dict(arrays), path, root)
    except (OSError, ValueError, KeyError, EOFError, msgspec.DecodeError, zlib.error):
        return None
    photos = [survey.looked_at[index] for index in range(len(survey.looked_at))]
    if root is not None and not all(map(Boundary(root).holds, photos)):
        return None
    return survey if np.array_equal(_identities(photos), survey.identities) else None


def _from_arrays(arrays: dict[str, Numbers], path: Path, root: str | None) -> _Survey:
    table = arrays["table"]
    set_aside = msgspec.msgpack.decode(arrays["set_aside"].tobytes(), type=tuple[SetAside, ...])
    rows = SignRows(
        path=path,
        lines=table[:, 0],
        offsets=table[:, 1],
        lengths=table[:, 2],
        checksums=table[:, 3],
        text_bytes=table[:, 4],
        sizes=arrays["sizes"],
        photos=TextArray(arrays["photos"].view(np.uint8), arrays["photo_ends"]),
        set_aside=set_aside,
        root=root,
    )
    looked_at = TextArray(arrays["looked_at"].view(np.uint8), arrays["looked_at_ends"])
    return _Survey(rows, looked_at, arrays["identities"])


def _refusal(path: Path, set_aside: tuple[SetAside, ...]) -> str:
    more = f" (and {len(set_aside) - 1} more such rows)" if len(set_aside) > 1 else ""
    first = set_aside[0]
    return (
        f"{path} row {first.line}: {first.sentence}{more}; mend the row, "
        'or set bad rows aside with data.bad_rows = "set-aside" (--set-aside-bad-rows)'
    )
