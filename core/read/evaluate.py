"""Reading the rows of a JSONL into a file of predictions, which a later start goes on with."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import file_digest
from pathlib import Path

from core import lock
from core.data.images import open_file
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.evaluate.predictions import (
    Header,
    PredictionsWriter,
    ReadRow,
    row_id,
    write_predictions,
)
from core.evaluate.summary import scored
from core.read.opening import Described, describe
from core.read.reader import LooksAhead, Photo, Reader, Reply
from core.read.rows import Batches, LabelledRow, LabelledRows, batches_of, open_labelled
from core.reading import Evaluation, ReadRequest, Told
from core.run_dir import RunDir

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
    data, root, seed = _what_to_read(run, work)
    out = _out(run, request, work, described, data)
    tell(0, 0, Told(out=str(out)))
    labelled = open_labelled(data, root, lambda done, total: tell(done, total, Told(opening=True)))
    for note in (*described.notes, *_unlabelled(data, labelled)):
        tell(0, 0, Told(note=note))
    rows = labelled.chosen(seed, work.count)
    header = _header(described, data, labelled.digest, len(rows))
    with lock.hold(out.with_name(f".{out.name}.lock"), partial(_busy, out)):
        batches = batches_of(rows, described.at_a_time, described.tokens)
        left = batches[_batches_done(out, header, batches) :]
        progress = _Progress(tell, batches, left, described.tokens)
        if not left:
            return
        with described.open() as reader, PredictionsWriter(out, header) as writer:
            for read in _read(reader, left):
                writer.append(read)
                progress.add(len(read))


def _what_to_read(run: RunDir | None, work: Evaluation) -> tuple[Path, str | None, int]:
    """The rows, the folder that no photo may lead out of, and the seed."""
    if run is None:
        if work.data is None:
            raise UsageError("which rows to read isn't said; give a JSONL of Qwen2-VL chats")
        return Path(work.data), work.root, work.seed or 0
    config = run.config()
    seed = config.train.seed if work.seed is None else work.seed
    if work.data is not None:
        return Path(work.data), work.root, seed
    return Path(config.data.validation), work.root or config.data.root, seed


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


def _header(described: Described, data: Path, digest: str, rows: int) -> Header:
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


def _unlabelled(data: Path, labelled: LabelledRows) -> Iterator[str]:
    if labelled.unlabelled:
        first = labelled.unlabelled[0]
        yield (
            f"{data}: {len(labelled.unlabelled):,} rows have no label to score against and are "
            f"left out; the first is line {first.line}: {first.sentence}"
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


def _read(reader: Reader, batches: Batches) -> Iterator[list[ReadRow]]:
    """Reads batch by batch, while the next one's photos are opened."""
    with ThreadPoolExecutor(_HASHERS, thread_name_prefix="hash") as hashers:
        for place, batch in enumerate(batches):
            started = time.perf_counter()
            photos = [row.photo for row in batch if row.why is None]
            hashes = hashers.map(_hash_of, batch)
            if isinstance(reader, LooksAhead):
                reader.look_ahead(photos)
                following = batches[place + 1] if place + 1 < len(batches) else []
                reader.look_ahead([row.photo for row in following if row.why is None])
            replies = iter(reader.read(photos) if photos else [])
            answers = [
                next(replies) if row.why is None else Reply(None, why=row.why) for row in batch
            ]
            ms = round((time.perf_counter() - started) * 1000 / len(batch), 1) if photos else None
            yield [
                _record(row, reply, digest, ms)
                for row, reply, digest in zip(batch, answers, hashes, strict=True)
            ]


def _hash_of(row: LabelledRow) -> str | None:
    """SHA-256 (hex) of a photo's file; one that may not be opened isn't."""
    if row.why is not None:
        return None
    try:
        with open_file(row.photo.path, row.photo.root) as file:
            return file_digest(file, "sha256").hexdigest()
    except (UnusableError, OSError):
        return None


def _record(asked: LabelledRow, reply: Reply, image_hash: str | None, ms: float | None) -> ReadRow:
    row, photo = asked.row, asked.photo
    return scored(
        ReadRow(
            row=asked.line,
            id=row_id(image_hash, photo.path, row.prompt, row.answer),
            image=photo.path,
            image_hash=image_hash,
            prompt=row.prompt,
            truth=row.answer,
            reply=reply.text,
            why=reply.why,
            tokens=reply.tokens,
            cut=reply.cut,
            ms=ms,
            size=photo.size,
            read_size=reply.read_size,
            metadata=row.metadata,
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
    return tokens(row.photo) + _REPLY_TOKENS if row.why is None else 0
