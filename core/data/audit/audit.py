"""The audit itself, from files to findings."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.audit import budgets, duplicates, labels, model_files
from core.data.audit.labels import finding
from core.data.audit.report import Audit, BadRow, Finding, Photos
from core.data.audit.rows import AuditRow, bad_row, find_files, read_rows
from core.data.audit.spread import spread
from core.data.photos import PhotoBook, PhotoFacts, Progress
from core.data.tokens import PixelGeometry
from core.data.unusable import UnusableError
from core.errors import KocrError
from core.model.families import FAMILIES

LONG_PHOTO = 20
_MEGAPIXELS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 200)


def audit(
    data: Path,
    validation: Path | None,
    book: PhotoBook,
    *,
    model: str | None,
    family: str,
    tell: Progress | None,
    root: str | None = None,
) -> Audit:
    """Decodes every photo of a data set once and looks at every row.

    ``tell`` hears of photos done and in all; those that lead out of the folder ``root`` aren't
    opened. Raises UsageError for files that can't be read.
    """
    files = find_files(data, validation)
    geometry = (model_files.geometry_of(model) if model else None) or FAMILIES[family].geometry
    root = os.path.realpath(root) if root else None
    rows, bad = read_rows(files, root)
    inputs = len(rows) + len(bad)
    found = book.facts([row.photo for row in rows], "whole", tell, root)
    bad += [_bad_photo(row, fact) for row, fact in zip(rows, found, strict=True) if fact.reason]
    good = [pair for pair in zip(rows, found, strict=True) if pair[1].reason is None]
    if inputs != len(good) + len(bad):
        raise KocrError(f"{data}: not all of {inputs} rows are accounted for")
    kept, facts = [row for row, _fact in good], [fact for _row, fact in good]
    return _audit(files, kept, facts, bad, geometry, model)


def _audit(
    files: list[tuple[Path, bool]],
    rows: list[AuditRow],
    facts: list[PhotoFacts],
    bad: list[BadRow],
    geometry: PixelGeometry,
    model: str | None,
) -> Audit:
    sizes = np.array([(fact.width, fact.height) for fact in facts], dtype=np.int64)
    tokens, exact = model_files.text_tokens(rows, model)
    native = budgets.image_tokens(sizes, geometry, None) if rows else None
    counts = Counter(str(row.reason) for row in bad)
    return Audit(
        inputs=len(rows) + len(bad),
        kept=len(rows),
        set_aside=dict(counts.most_common()),
        files={str(path): sum(row.file == path for row in rows) for path, _side in files},
        photos=_photos(rows, facts) if rows else None,
        labels=labels.describe(rows) if rows else None,
        budgets=budgets.budgets(sizes, tokens, geometry) if rows else (),
        worst=budgets.worst(rows, native, tokens) if native is not None else None,
        text_tokens="exact" if exact else "upper bound",
        findings=tuple(_findings(rows, facts, bad)),
        rows_set_aside=tuple(bad),
    )


def _findings(
    rows: Sequence[AuditRow], facts: Sequence[PhotoFacts], bad: Sequence[BadRow]
) -> list[Finding]:
    told = [f"{Path(row.file).name} line {row.line}: {row.sentence}" for row in bad]
    pairs = list(zip(rows, facts, strict=True))
    found = [
        finding("failure", "rows-set-aside", told),
        *duplicates.find(rows, facts),
        *labels.findings(rows),
        finding("warning", "animated", [row.told for row, fact in pairs if fact.frames > 1]),
        finding("warning", "long-photo", [row.told for row, fact in pairs if _is_long(fact)]),
    ]
    order = {"failure": 0, "warning": 1, "info": 2}
    return sorted((each for each in found if each.count), key=lambda each: order[each.level])


def _photos(rows: Sequence[AuditRow], facts: Sequence[PhotoFacts]) -> Photos:
    distinct = {row.photo: fact for row, fact in zip(rows, facts, strict=True)}.values()
    pixels = np.array([fact.width * fact.height for fact in distinct], dtype=np.int64)
    aspect = np.array([_aspect(fact) for fact in distinct])
    bins = np.searchsorted(np.array(_MEGAPIXELS) * 1e6, pixels)
    profiles = Counter(fact.profile for fact in distinct if fact.profile)
    return Photos(
        distinct=len(distinct),
        file_bytes=sum(fact.file_bytes for fact in distinct),
        formats=dict(Counter(fact.format for fact in distinct).most_common()),
        modes=dict(Counter(fact.mode for fact in distinct).most_common()),
        turned_by_exif=sum(fact.orientation != 1 for fact in distinct),
        profiles=dict(profiles.most_common()),
        pixels=spread(pixels),
        aspect=spread(aspect),
        megapixels={
            f"{upper:g}": int((bins == index).sum()) for index, upper in enumerate(_MEGAPIXELS)
        },
    )


def _aspect(fact: PhotoFacts) -> float:
    return max(fact.width, fact.height) / min(fact.width, fact.height)


def _is_long(fact: PhotoFacts) -> bool:
    return _aspect(fact) > LONG_PHOTO


def _bad_photo(row: AuditRow, fact: PhotoFacts) -> BadRow:
    assert fact.reason is not None
    return bad_row(row.file, row.line, UnusableError(fact.reason, f"{row.photo}: {fact.sentence}"))
