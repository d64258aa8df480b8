"""Scores for people and for programs: every measure, the strata, and files against each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from core.evaluate.compare import Change, Comparison, Pair
from core.evaluate.predictions import ReadRow
from core.evaluate.summary import Summary
from core.evaluate.text import Score, Scores
from kocr_tui import format as fmt
from kocr_tui.strings import say

_GROUPS = {
    "answer": ("exact", "normalized", "similarity80", "accepted"),
    "means": ("similarity", "cer", "jaso"),
    "raw": (
        "raw_exact",
        "raw_normalized",
        "raw_similarity80",
        "contained",
        "refusal",
        "over_long",
    ),
    "nfkc": ("nfkc_exact", "nfkc_normalized", "nfkc_similarity80"),
    "kstr": ("kstr_word", "kstr_jaso"),
}
_THREE = ("exact", "normalized", "similarity80")
_CLASSES = frozenset(
    {"hangul", "latin", "digits", "mixed", "with", "without", "yes", "no", "other", "unknown"}
)
_CLASS_COLUMNS = 28
_ANSWER_COLUMNS = 34
_MOST_CHANGES = 20
_GAP = "  "


def document(summary: Summary, rows: Sequence[ReadRow] | None = None) -> dict[str, Any]:
    """SCORES with "strata", and "rows" where they are given."""
    found: dict[str, Any] = msgspec.to_builtins(summary)
    return found if rows is None else {**found, "rows": msgspec.to_builtins(rows)}


def lines(summary: Summary, name: str) -> Iterator[str]:
    """The scores of the predictions called ``name``, line by line, about 80 columns wide."""
    yield _title(summary, name)
    shown = [measure for group in _GROUPS.values() for measure in group]
    columns = max(fmt.width(say(f"scores.measure.{measure}")) for measure in shown)
    for group, measures in _GROUPS.items():
        yield ""
        yield say(f"scores.group.{group}")
        for measure in measures:
            label = fmt.pad(say(f"scores.measure.{measure}"), columns)
            yield f"{_GAP}{label}{_GAP}{percent(getattr(summary, measure))}"
    for way, classes in summary.strata.items():
        yield from _stratum(way, classes)
    yield ""
    yield say("scores.interval")


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Each file against the first, then the rows that it fixed and broke."""
    first, *_others = comparison.scores
    yield say(
        "scores.compare.title",
        n=f"{comparison.n:,}",
        files=len(comparison.scores),
        name=fmt.visible(first),
    )
    for pair in comparison.pairs:
        yield from _pair(pair, comparison)
    yield ""
    yield say("scores.compare.legend")


def percent(score: Score) -> str:
    """A share with its interval to a tenth: `` 63.5 % [57.2–69.1]``."""
    if score.value is None:
        return fmt.NOTHING
    return f"{score.value * 100:5.1f} % [{score.low * 100:.1f}–{score.high * 100:.1f}]"


def _title(summary: Summary, name: str) -> str:
    missing = round((summary.missing.value or 0) * summary.n)
    key = "scores.missing" if missing else "scores.title"
    return say(key, name=fmt.visible(name), n=f"{summary.n:,}", missing=f"{missing:,}")


def _stratum(way: str, classes: Mapping[str, Scores]) -> Iterator[str]:
    heads = [say(f"scores.way.{way}"), say("scores.rows")]
    heads += [say(f"scores.measure.{measure}") for measure in _THREE]
    cells = [
        [
            fmt.cut(_class_name(name), _CLASS_COLUMNS),
            f"{scores.n:,}",
            *(fmt.percent(getattr(scores, measure)) for measure in _THREE),
        ]
        for name, scores in classes.items()
    ]
    yield ""
    yield from _table(heads, cells)


def _class_name(name: str) -> str:
    return say(f"scores.class.{name}") if name in _CLASSES else fmt.visible(name)


def _pair(pair: Pair, comparison: Comparison) -> Iterator[str]:
    keys = ("share", "difference", "fixed", "broken", "p")
    heads = [say(f"scores.compare.{key}") for key in keys]
    cells = [
        [
            _measure_name(share),
            _points(found.value, found.low, found.high),
            f"{found.fixed:,}",
            f"{found.broken:,}",
            fmt.number(found.p),
        ]
        for share, found in pair.differences.items()
    ]
    yield ""
    yield fmt.visible(pair.name)
    yield from _three_scores(pair, comparison)
    yield from _table(heads, cells)
    yield from _changes("fixed_rows", pair.fixed)
    yield from _changes("broken_rows", pair.broken)


def _three_scores(pair: Pair, comparison: Comparison) -> Iterator[str]:
    first, *_others = comparison.scores
    heads = [say(f"scores.compare.{key}") for key in ("share", "first", "this")]
    cells = [
        [
            _measure_name(measure),
            *(percent(getattr(comparison.scores[name], measure)) for name in (first, pair.name)),
        ]
        for measure in _THREE
    ]
    yield from _table(heads, cells)
    yield ""


def _measure_name(measure: str) -> str:
    name = say(f"scores.measure.{measure}")
    return f"K-STR {name}" if measure == "kstr_word" else name


def _points(value: float | None, low: float, high: float) -> str:
    if value is None:
        return fmt.NOTHING
    return f"{value * 100:+.1f} [{low * 100:+.1f} … {high * 100:+.1f}]"


def _changes(key: str, changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield say(f"scores.compare.{key}", count=f"{len(changes):,}")
    for change in changes[:_MOST_CHANGES]:
        texts = (change.truth, change.before, change.after)
        truth, before, after = (
            say("scores.compare.nothing") if text is None else fmt.visible(text) for text in texts
        )
        told = fmt.pad(truth, _CLASS_COLUMNS)
        yield f"{change.row:>8,}{_GAP}{told}{_GAP}{fmt.cut(before, _ANSWER_COLUMNS)} → " + fmt.cut(
            after, _ANSWER_COLUMNS
        )
    if len(changes) > _MOST_CHANGES:
        yield _GAP + say("scores.compare.more", count=f"{len(changes) - _MOST_CHANGES:,}")


def _table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as what is in them, the first to the left and the others to the right."""
    widths = [max(map(fmt.width, column)) for column in zip(heads, *cells, strict=True)]
    for row in (heads, *cells):
        first, *others = zip(row, widths, strict=True)
        padded = [fmt.pad(*first), *(fmt.pad_left(text, width) for text, width in others)]
        yield _GAP + _GAP.join(padded).rstrip()
