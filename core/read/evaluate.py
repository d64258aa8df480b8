"""Reading the rows of a JSONL into a file of predictions, which a later start goes on with."""

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path

import msgspec

from core import lock
from core.config import BadRows
from core.data.dataset import SetAside
from core.data.photos import PhotoBook
from core.data.survey import PHOTO_CACHE
from core.errors import KocrError, UsageError
from core.evaluate.labels import LabelledRow, labelled_rows, photo_hash
from core.evaluate.predictions import (
    Header,
    PredictionsWriter,
    ReadRow,
    write_predictions,
)
from core.evaluate.summary import scored
from core.read.opening import Described, describe
from core.read.reader import HasNotes, LooksAhead, Photo, Reader, Reply
from core.read.rows import Batches, batches_of, photo_of
from core.reading import Evaluation, ReadRequest, Told
from core.run_dir import RunDir, home

Tell = Callable[[int, int, Told], None]
_HASHERS = 2
# What a reply costs beside its photo, in image tokens, for the estimate of time alone.
_REPLY_TOKENS = 64
_NO_NAME = re.compile(r"[^\w.-]+")


def evaluate(request: ReadRequest, work: Evaluation, tell: Tell) -> None:
    """Reads all rows that the file of predictions doesn't have yet.

    Rows are read in batches that don't depend on what is done, and a batch that is there in part
    is read anew: the file ends the same however often it was interrupted. Raises UsageError for
    what can't be read with or from, a file that holds other predictions, and one that another
    process writes.
    """
    run = RunDir(Path(request.source.run)) if request.source.run is not None else None
    described = describe(request)
    asked = _what_to_read(run, work)
    out = _out(run, request, work, described, asked.data)
    tell(0, 0, Told(out=str(out)))
    for note in described.notes:
        tell(0, 0, Told(note=note))
    rows = _open(asked, work.count, tell)
    header = _header(described, asked.data, len(rows))
    with lock.hold(out.with_name(f".{out.name}.lock"), partial(_busy, out)):
        batches = batches_of(rows, described.at_a_time, described.tokens)
        left = batches[_batches_done(out, header, batches) :]
        progress = _Progress(tell, batches, left, described.tokens)
        if not left:
            return
        with described.open() as reader:
            tell_notes(reader, tell)
            _write(out, header, _read(reader, left, asked.root), progress)


def _write(
    out: Path, header: Header, arriving: Iterator[list[ReadRow]], progress: "_Progress"
) -> None:
    """Appends batches as they are read; raises KocrError where the disk doesn't take one."""
    try:
        with PredictionsWriter(out, header) as writer:
            for read in arriving:
                writer.append(read)
                progress.add(len(read))
    except OSError as error:
        raise KocrError(
            f"{out}: can't be written: {error.strerror or error}; make room on the disk, then give "
            "the same command again: it goes on from there"
        ) from error


def tell_notes(reader: Reader, tell: Tell) -> None:
    """Tells what a reader has to say once it's open."""
    for note in reader.notes if isinstance(reader, HasNotes) else ():
        tell(0, 0, Told(note=note))


@dataclass(frozen=True)
class _Asked:
    """The file of rows, the real path that no photo may lead out of, and what draws rows."""

    data: Path
    root: str | None
    seed: int
    bad_rows: BadRows


def _what_to_read(run: RunDir | None, work: Evaluation) -> _Asked:
    root = os.path.realpath(work.root) if work.root is not None else None
    if run is None:
        if work.data is None:
            raise UsageError("which rows to read isn't said; give a JSONL of Qwen2-VL chats")
        return _Asked(Path(work.data), root, work.seed or 0, "refuse")
    config = run.config()
    seed = config.train.seed if work.seed is None else work.seed
    if work.data is not None:
        return _Asked(Path(work.data), root, seed, config.data.bad_rows)
    if root is None and config.data.root is not None:
        root = os.path.realpath(config.data.root)
    return _Asked(Path(config.data.validation), root, seed, config.data.bad_rows)


def _open(asked: _Asked, count: int | None, tell: Tell) -> list[LabelledRow]:
    """The rows; of those that a run sets aside as it trains only their number is told."""
    aside: list[SetAside] | None = [] if asked.bad_rows == "set-aside" else None
    rows = labelled_rows(
        asked.data,
        PhotoBook(home() / "cache" / PHOTO_CACHE),
        root=asked.root,
        count=count,
        seed=asked.seed,
        tell=lambda done, total: tell(done, total, Told(opening=True)),
        aside=aside,
    )
    if aside:
        said = f"{asked.data}: rows with no label to score against, left out: {len(aside):,}"
        first = f"the first is line {aside[0].line}: {aside[0].sentence}"
        tell(0, 0, Told(note=f"{said}; {first}"))
    return rows


def _out(
    run: RunDir | None, request: ReadRequest, work: Evaluation, described: Described, data: Path
) -> Path:
    """The file of predictions: a name of its own for everything that is asked apart."""
    if work.out is not None:
        return Path(work.out)
    parts = [described.name]
    if run is None or work.data is not None:
        parts.append(data.stem)
    if work.count is not None:
        parts.append(f"n{work.count}")
    if work.seed is not None:
        parts.append(f"seed{work.seed}")
    if request.max_pixels is not None:
        parts.append(f"{request.max_pixels}px")
    name = _NO_NAME.sub("-", "-".join(parts)).strip("-.")
    if run is not None:
        return run.predictions / f"evaluate-{name}.jsonl"
    return Path(work.folder) / f"{name}.jsonl"


def _header(described: Described, data: Path, rows: int) -> Header:
    with data.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return Header(
        reader=described.title,
        model=described.model,
        adapter=described.adapter,
        max_pixels=described.max_pixels,
        data=str(data),
        rows=rows,
        settings={**(described.settings or {}), "data_sha256": digest},
        versions=described.versions or {},
    )


def _busy(out: Path, pid: int) -> str:
    return (
        f"{out}: busy: process {pid} writes predictions to it; wait for it, or give another --out"
    )


def _batches_done(out: Path, header: Header, batches: Batches) -> int:
    """How many batches the file holds whole; what it has of another is cut off.

    Raises UsageError for a file with other predictions.
    """
    if out.is_dir():
        raise UsageError(f"{out}: a folder; name a file for the predictions")
    if not out.exists():
        return 0
    with PredictionsWriter(out, header) as writer:
        kept = writer.done
    lines = [row.row for row in kept]
    if lines != [row.line for batch in batches for row in batch][: len(lines)]:
        raise UsageError(
            f"{out}: holds rows in another order than they are read in; give another --out, or "
            "delete the file"
        )
    rows = whole = 0
    for batch in batches:
        if rows + len(batch) > len(lines):
            break
        rows, whole = rows + len(batch), whole + 1
    if rows < len(lines):
        write_predictions(out, header, kept[:rows])
    return whole


def _read(reader: Reader, batches: Batches, root: str | None) -> Iterator[list[ReadRow]]:
    """Reads batch by batch, while the next one's photos are opened."""
    with ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash") as hashers:
        for place, batch in enumerate(batches):
            started = time.perf_counter()
            photos = [photo_of(row, root) for row in batch if row.why is None]
            hashes = hashers.map(partial(photo_hash, root=root), [row.image for row in batch])
            if isinstance(reader, LooksAhead):
                reader.look_ahead(photos)
                following = batches[place + 1] if place + 1 < len(batches) else []
                reader.look_ahead([photo_of(row, root) for row in following if row.why is None])
            replies = iter(reader.read(photos) if photos else [])
            answers = [
                next(replies) if row.why is None else Reply(None, why=row.why) for row in batch
            ]
            ms = round((time.perf_counter() - started) * 1000 / len(batch), 1) if photos else None
            yield [
                _record(row, reply, digest, ms)
                for row, reply, digest in zip(batch, answers, hashes, strict=True)
            ]


def _record(row: LabelledRow, reply: Reply, image_hash: str | None, ms: float | None) -> ReadRow:
    return scored(
        msgspec.structs.replace(
            row.unread(image_hash),
            reply=reply.text,
            why=reply.why,
            tokens=reply.tokens,
            cut=reply.cut,
            ms=ms,
            read_size=reply.read_size,
        )
    )


class _Progress:
    """Rows that are done, and the time that is left by how long the others' photos are."""

    def __init__(
        self, tell: Tell, batches: Batches, left: Batches, tokens: Callable[[Photo], int]
    ) -> None:
        self._tell = tell
        self._total = sum(map(len, batches))
        self._done = self._total - sum(map(len, left))
        self._costs = [_cost(row, tokens) for batch in left for row in batch]
        self._left = sum(self._costs)
        self._spent = self._read = 0
        self._started = time.perf_counter()
        tell(self._done, self._total, Told())

    def add(self, rows: int) -> None:
        """Tells that so many more rows were read."""
        cost = sum(self._costs[self._read : self._read + rows])
        self._read += rows
        self._spent += cost
        self._left -= cost
        passed = time.perf_counter() - self._started
        seconds = passed * self._left / self._spent if self._spent else None
        self._tell(self._done + self._read, self._total, Told(seconds_left=seconds))


def _cost(row: LabelledRow, tokens: Callable[[Photo], int]) -> int:
    return tokens(photo_of(row, None)) + _REPLY_TOKENS if row.why is None else 0
