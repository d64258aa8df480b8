"""Predictions of the same rows against each other, row by row; pure functions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from core.errors import UsageError
from core.evaluate.measures import RowMeasures
from core.evaluate.paired import PairedTable, mcnemar, newcombe
from core.evaluate.predictions import ReadRow, row_id
from core.evaluate.summary import measures_of
from core.evaluate.text import Scores
from core.visible_text import visible

SHARES = ("exact", "normalized", "similarity80", "accepted", "contained", "kstr_word")
# What fixed and broken rows are told by: spacing and case are no news.
TOLD = "normalized"
_NAMED = 3
Key = tuple[str, int]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A share in one file minus that in the first, as a fraction with its 95 % interval.

    Newcombe's (see `newcombe`); ``fixed`` rows are right in this file alone, ``broken`` ones in the
    first alone, ``p`` is McNemar's, exact and two-sided.
    """

    value: float | None
    low: float
    high: float
    fixed: int
    broken: int
    p: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A row that one file has right and the other wrong, with both answers."""

    id: str
    row: int
    image: str
    truth: str
    before: str | None
    after: str | None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A file against the first one; rows are fixed or broken by the normalised comparison."""

    name: str
    differences: dict[str, Difference]
    fixed: tuple[Change, ...]
    broken: tuple[Change, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``n`` rows, the scores of each file on them by its name, and each file against the first."""

    n: int
    scores: dict[str, Scores]
    pairs: tuple[Pair, ...]


def compare(files: Mapping[str, Sequence[ReadRow]]) -> Comparison:
    """Compares scored rows, by the name of their file, with those of the first.

    Rows belong together by their id; where the data has the same content in several rows, the
    first of them in one file belongs to the first in another. Raises UsageError where a file lacks
    a row, has one twice, or has another truth for a photo, naming the first three and how many.
    """
    (name, rows), *others = files.items()
    by_file = {name: _keyed(name, rows)}
    for other, other_rows in others:
        by_file[other] = _keyed(other, other_rows)
        _refuse_mismatch(name, by_file[name], other, by_file[other])
    order = list(by_file[name])
    measures = {each: [measures_of(keyed[key]) for key in order] for each, keyed in by_file.items()}
    return Comparison(
        n=len(order),
        scores={each: Scores.of(found) for each, found in measures.items()},
        pairs=tuple(
            Pair(
                name=other,
                differences={
                    share: difference(measures[name], measures[other], share) for share in SHARES
                },
                fixed=_changes(by_file[name], by_file[other], order, measures, (other, name)),
                broken=_changes(by_file[name], by_file[other], order, measures, (name, other)),
            )
            for other, _rows in others
        ),
    )


def difference(
    before: Sequence[RowMeasures], after: Sequence[RowMeasures], share: str
) -> Difference:
    """How a share changes from one reading of the same rows to another."""
    counts = Counter(
        (bool(getattr(old, share)), bool(getattr(new, share)))
        for old, new in zip(before, after, strict=True)
    )
    table = PairedTable(
        both=counts[True, True],
        first=counts[True, False],
        second=counts[False, True],
        neither=counts[False, False],
    )
    low, high = newcombe(table)
    return Difference(
        value=(table.second - table.first) / table.n if table.n else None,
        low=low,
        high=high,
        fixed=table.second,
        broken=table.first,
        p=mcnemar(table.first, table.second),
    )


def _changes(
    before: Mapping[Key, ReadRow],
    after: Mapping[Key, ReadRow],
    order: Sequence[Key],
    measures: Mapping[str, Sequence[RowMeasures]],
    sides: tuple[str, str],
) -> tuple[Change, ...]:
    """The rows that the first side has right and the second wrong."""
    right, wrong = (measures[side] for side in sides)
    return tuple(
        Change(
            id=key[0],
            row=before[key].row,
            image=before[key].image,
            truth=before[key].truth,
            before=before[key].extracted,
            after=after[key].extracted,
        )
        for key, good, bad in zip(order, right, wrong, strict=True)
        if getattr(good, TOLD) and not getattr(bad, TOLD)
    )


def _keyed(name: str, rows: Sequence[ReadRow]) -> dict[Key, ReadRow]:
    """The rows by id and by how many of that id came before; raises for a row that is there twice.

    What a file says twice of one line of the data is no second row.
    """
    lines = Counter((row.id, row.row) for row in rows)
    _refuse(name, "there twice", [row for row in rows if lines[row.id, row.row] > 1])
    seen: Counter[str] = Counter()
    keyed: dict[Key, ReadRow] = {}
    for row in sorted(rows, key=lambda row: row.row):
        keyed[row.id, seen[row.id]] = row
        seen[row.id] += 1
    return keyed


def _refuse_mismatch(
    name: str, first: Mapping[Key, ReadRow], other: str, second: Mapping[Key, ReadRow]
) -> None:
    lacking = [row for key, row in first.items() if key not in second]
    surplus = [row for key, row in second.items() if key not in first]
    truths = defaultdict(set)
    for row in lacking:
        truths[_photo(row)].add(row.truth)
    _refuse(
        other,
        f"labelled otherwise than in {name}",
        [row for row in surplus if truths[_photo(row)] - {row.truth}],
    )
    _refuse(other, f"missing, but in {name}", lacking)
    _refuse(other, f"not in {name}", surplus)


def _photo(row: ReadRow) -> str:
    """What tells a photo and its prompt, whatever its label is."""
    return row_id(row.image_hash, row.image, row.prompt, "")


def _refuse(name: str, fault: str, rows: Sequence[ReadRow]) -> None:
    """Raises UsageError where there are rows with this fault."""
    if not rows:
        return
    named = ", ".join(f"row {row.row} ({visible(row.truth)[:40]})" for row in rows[:_NAMED])
    more = ", …" if len(rows) > _NAMED else ""
    count = f"{len(rows):,} row{'s' if len(rows) > 1 else ''}"
    raise UsageError(
        f"{name}: {count} {fault}: {named}{more}; compare predictions of the same rows"
    )
