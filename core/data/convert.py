"""Label files to a data set: ``train.jsonl``, ``validation.jsonl`` and a receipt of every row."""

import importlib.metadata
import json
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from core.data import sources
from core.data.crops import CropJob, write_crops
from core.data.library import PhotoLibrary
from core.data.parallel import each_in_processes
from core.data.photos import PhotoBook, PhotoFacts, Progress
from core.data.receipt import OutputFile, Receipt, SourceFile, counted, sha256_of
from core.data.schemas import Row, check_text, clean, format_row
from core.data.sources import Kind
from core.data.sources import template as templates
from core.data.sources.items import Labelled, Rejected
from core.data.splits import groups, is_validation
from core.data.staging import RECEIPT, Staging
from core.data.unusable import UnusableError
from core.errors import KocrError, UsageError
from core.evaluate.text import normalize

Split = Literal["train", "validation"]
DEFAULT_PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."
CROPS = "crops"
_SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Request:
    """What to convert: a source of training rows, and one of validation rows or a share for them.

    ``images`` is the folder of the photos, by default each source's own; ``share`` (0 to 1) of
    the groups of rows goes to validation, chosen by ``seed``.
    """

    source: Path
    out: Path
    kind: Kind | None = None
    validation: Path | None = None
    share: float | None = None
    seed: int = 0
    images: Path | None = None
    template: str = templates.DEFAULT
    prompt: str = DEFAULT_PROMPT
    crops: bool = False
    force: bool = False


@dataclass(frozen=True)
class _Row:
    """A row whose photo was found; ``photo`` is its absolute path, ``whole`` what it's cut from."""

    split: Split
    item: Labelled
    photo: str
    whole: str


def convert(request: Request, book: PhotoBook, workers: int, tell: Progress | None) -> Receipt:
    """Writes the data set and returns its receipt; the same sources give the same bytes.

    Raises UsageError for a wrong request, KocrError if no row can be used.
    """
    _refuse_wrong(request)
    given = _sources(request)
    both = request.validation is not None or request.share is not None
    names = [RECEIPT, *(f"{split}.jsonl" for split in _SPLITS[: 1 + both])]
    names += [CROPS] if request.crops else []
    with Staging(request.out, names, force=request.force) as staging:
        rejected: list[Rejected] = []
        rows = [
            row
            for split, path, kind in given
            for row in _read(request, split, path, kind, rejected)
        ]
        inputs = len(rows) + len(rejected)
        rows = _with_usable_photos(rows, book, tell, rejected)
        if request.crops:
            rows = _cropped(rows, book, staging.path, request.out, workers, rejected)
        rows, count = _split(rows, request) if request.share is not None else (rows, None)
        _refuse_empty(request, rows, rejected, both=both)
        for split in _SPLITS[: 1 + both]:
            _write_rows(staging.path, request, [row for row in rows if row.split == split], split)
        outputs = _outputs(staging.path, rows)
        receipt = _receipt(request, given, rows, rejected, count, outputs)
        if receipt.inputs != inputs or inputs != len(rows) + len(rejected):
            raise KocrError(
                f"{request.source}: {inputs} rows went in, but not all are accounted for"
            )
        document = msgspec.json.format(msgspec.json.encode(receipt), indent=1)
        (staging.path / RECEIPT).write_bytes(document + b"\n")
        staging.publish()
    return receipt


def _refuse_wrong(request: Request) -> None:
    if request.share is not None and request.validation is not None:
        raise UsageError("give --validation or --validation-share, not both")
    if request.share is not None and not 0 < request.share < 1:
        raise UsageError(f"--validation-share {request.share}: give a share between 0 and 1")
    templates.check(request.template)
    if not clean(request.prompt):
        raise UsageError("--prompt is empty; say what is asked of a photo")
    for path in (request.images, request.source, request.validation):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder")


def _sources(request: Request) -> list[tuple[Split, Path, Kind]]:
    given: list[tuple[Split, Path]] = [("train", request.source)]
    if request.validation is not None:
        given.append(("validation", request.validation))
    return [(split, path, request.kind or sources.recognise(path)) for split, path in given]


def _read(
    request: Request, split: Split, path: Path, kind: Kind, rejected: list[Rejected]
) -> list[_Row]:
    """The rows of a source with good texts and a photo that is found."""
    library = PhotoLibrary(request.images or (path if path.is_dir() else path.parent))
    rows: list[_Row] = []
    for item in sources.read(path, kind, template=request.template, crops=request.crops):
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        try:
            check_text(item.prompt or request.prompt, item.answer)
            photo = library.find(item.image)
        except UnusableError as problem:
            rejected.append(Rejected.of(item.place, problem))
        else:
            rows.append(_Row(split, item, photo, photo))
    return rows


def _with_usable_photos(
    rows: list[_Row], book: PhotoBook, tell: Progress | None, rejected: list[Rejected]
) -> list[_Row]:
    kept: list[_Row] = []
    facts = book.facts([row.photo for row in rows], "header", tell)
    for row, fact in zip(rows, facts, strict=True):
        if fact.reason is None:
            kept.append(row)
        else:
            sentence = f"{row.photo}: {fact.sentence}"
            rejected.append(Rejected(row.item.place, fact.reason, sentence))
    return kept


def _cropped(
    rows: list[_Row],
    book: PhotoBook,
    stage: Path,
    out: Path,
    workers: int,
    rejected: list[Rejected],
) -> list[_Row]:
    """Rows on their crops; numbers are given by order, so that a second run gives the same."""
    (stage / CROPS).mkdir()
    by_photo: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        by_photo.setdefault(row.photo, []).append(number)
    photos = list(by_photo)
    facts = book.facts(photos, "header")
    jobs = [
        _crop_job(photo, fact, [(number, rows[number]) for number in by_photo[photo]], stage)
        for photo, fact in zip(photos, facts, strict=True)
    ]
    problems: dict[int, UnusableError | None] = {}
    done = each_in_processes(write_crops, jobs, _crashed, workers)
    for photo, found in zip(photos, done, strict=True):
        problems.update(zip(by_photo[photo], found, strict=True))
    kept: list[_Row] = []
    for number, row in enumerate(rows):
        if (problem := problems[number]) is None:
            kept.append(replace(row, photo=str(out.absolute() / CROPS / _crop_name(number))))
        else:
            rejected.append(Rejected.of(row.item.place, problem))
    return kept


def _crop_job(photo: str, fact: PhotoFacts, rows: list[tuple[int, _Row]], stage: Path) -> CropJob:
    boxes = [
        (row.item.box, stage / CROPS / _crop_name(number))
        for number, row in rows
        if row.item.box is not None
    ]
    return CropJob(photo, fact.orientation, tuple(boxes))


def _crop_name(number: int) -> str:
    return f"{number:07d}.png"


def _crashed(job: CropJob) -> list[UnusableError | None]:
    problem = UnusableError("cannot-be-decoded", f"{job.photo}: the decoder crashed")
    return [problem] * len(job.boxes)


def _split(rows: list[_Row], request: Request) -> tuple[list[_Row], int]:
    """Rows with their side, and the number of groups: whatever shares a photo or a place does."""
    assert request.share is not None
    owners = groups([_keys(row) for row in rows])
    # By the source's own words, so that moving the folder doesn't deal the rows out anew.
    named = {owner: f"{rows[owner].item.image}\0{rows[owner].item.answer}" for owner in owners}
    side = partial(is_validation, share=request.share, seed=request.seed)
    return [
        replace(row, split="validation" if side(named[owner]) else "train")
        for row, owner in zip(rows, owners, strict=True)
    ], len(named)


def _keys(row: _Row) -> list[Hashable]:
    """What may not stand on both sides: the source photo, and a name at a place."""
    keys: list[Hashable] = [row.whole]
    location = row.item.metadata.get("location")
    if location:
        name = row.item.metadata.get("store_kor_name") or row.item.answer
        place = json.dumps(location, sort_keys=True, ensure_ascii=False)
        keys.append((normalize(str(name)), clean(place)))
    return keys


def _refuse_empty(
    request: Request, rows: list[_Row], rejected: list[Rejected], *, both: bool
) -> None:
    if not rows:
        why = f"; the first: {rejected[0].place}: {rejected[0].sentence}" if rejected else ""
        raise KocrError(f"{request.source}: none of {len(rejected)} rows can be used{why}")
    for split in _SPLITS[: 1 + both]:
        if not any(row.split == split for row in rows):
            raise KocrError(
                f"{request.out}: no row is left for {split}; give another share, seed or source"
            )


def _write_rows(stage: Path, request: Request, rows: list[_Row], split: Split) -> None:
    with (stage / f"{split}.jsonl").open("wb") as file:
        for row in rows:
            image = _name_of(row.photo, request.out)
            prompt = clean(row.item.prompt or request.prompt)
            line = format_row(Row(image, prompt, row.item.answer, row.item.metadata))
            file.write(line + b"\n")


def _name_of(photo: str, out: Path) -> str:
    """Relative for a photo in the data set's own folder, so that the folder can be moved."""
    folder = f"{out.absolute()}/"
    return photo.removeprefix(folder) if photo.startswith(folder) else photo


def _outputs(stage: Path, rows: list[_Row]) -> tuple[OutputFile, ...]:
    counts = {f"{split}.jsonl": sum(row.split == split for row in rows) for split in _SPLITS}
    return tuple(
        OutputFile(name=path.name, rows=counts.get(path.name, len(rows)), sha256=sha256_of(path))
        for path in sorted(stage.iterdir())
    )


def _receipt(
    request: Request,
    given: list[tuple[Split, Path, Kind]],
    rows: list[_Row],
    rejected: list[Rejected],
    count: int | None,
    outputs: tuple[OutputFile, ...],
) -> Receipt:
    return Receipt(
        inputs=len(rows) + len(rejected),
        kept=len(rows),
        set_aside=counted(rejected),
        train=sum(row.split == "train" for row in rows),
        validation=sum(row.split == "validation" for row in rows),
        groups=count,
        options={
            "template": request.template,
            "prompt": request.prompt,
            "crops": request.crops,
            "validation_share": request.share,
            "seed": request.seed,
            "images": str(request.images) if request.images else None,
        },
        sources=tuple(
            SourceFile(path=str(path), kind=kind, split=split, sha256=sha256_of(path))
            for split, path, kind in given
        ),
        outputs=outputs,
        kocr_tui=importlib.metadata.version("kocr-tui"),
        rows_set_aside=tuple(rejected),
    )
