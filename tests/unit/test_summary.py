"""What predictions add up to, by kind of row, and against each other."""

import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.evaluate.compare import SHARES, compare
from core.evaluate.measures import RowMeasures
from core.evaluate.paired import PairedTable, mcnemar, newcombe
from core.evaluate.predictions import ReadRow, row_id
from core.evaluate.strata import MOST_CATEGORIES, strata
from core.evaluate.summary import Summary, measures_of, scored, summarize, with_scores
from core.evaluate.text import Scores, wilson


def read_row(truth: str, reply: str | None = None, row: int = 1, **others: Any) -> ReadRow:
    found = ReadRow(
        row=row,
        id=row_id(None, f"{row}.jpg", "?", truth),
        image=f"/photos/{row}.jpg",
        prompt="?",
        truth=truth,
        reply=reply,
        **others,
    )
    return scored(found)


def classes(rows: list[ReadRow], way: str) -> dict[str, int]:
    return {name: len(places) for name, places in strata(rows)[way].items()}


def test_scores_are_those_of_the_three_shares_and_the_means() -> None:
    rows = [read_row("마왕족발", reply) for reply in ("마왕족발", "마왕 족발", "마왕족벌", None)]
    found = summarize(rows)
    measures = [measures_of(row) for row in rows]
    assert found.scores == Scores.of(measures)
    assert found.similarity.value == pytest.approx((100 + 100 + 75 + 0) / 400)
    assert found.cer.value == pytest.approx((0 + 1 / 4 + 1 / 4 + 1) / 4)
    assert (found.cer.low, found.cer.high) == wilson((1 / 4 + 1 / 4 + 1), 4)
    assert found.missing.value == 1 / 4
    fields = set(Summary.__struct_fields__) - {"n", "strata"}
    assert fields == set(RowMeasures.__struct_fields__)


def test_no_rows_know_nothing() -> None:
    found = summarize([])
    assert (found.n, found.exact.value, found.cer.low, found.cer.high) == (0, None, 0, 1)
    assert found.strata == {}


def test_the_keys_for_programs_are_stable() -> None:
    found = msgspec.to_builtins(summarize([read_row("가나", "가나")]))
    assert list(found)[:4] == ["n", "exact", "normalized", "similarity80"]
    assert found["exact"].keys() == {"value", "low", "high"}
    assert found["strata"]["script"]["hangul"].keys() == {
        "n",
        "exact",
        "normalized",
        "similarity80",
    }


def test_rows_that_were_not_scored_are_refused() -> None:
    row = msgspec.structs.replace(read_row("가"), scores={})
    with pytest.raises(ValueError, match="row 1 isn't scored"):
        summarize([row])
    with pytest.raises(ValueError, match="another version"):
        summarize([msgspec.structs.replace(row, scores={"exact": True})])


def test_scoring_anew_is_what_counts() -> None:
    row = msgspec.structs.replace(read_row("가나", "가나"), extracted="x", scores={"exact": 0})
    assert scored(row) == read_row("가나", "가나")
    whole = msgspec.structs.replace(row, scores=read_row("가나").scores)
    assert with_scores([row, whole]) == [read_row("가나", "가나"), whole]


@pytest.mark.parametrize(
    ("way", "truths", "expected"),
    [
        (
            "length",
            ["가", "가 나", "가나다", "가나다라마", "가" * 10, "가" * 20, "가" * 21],
            {"1-2": 2, "3-4": 1, "5-6": 1, "7-10": 1, "11-20": 1, "21+": 1},
        ),
        (
            "script",
            ["마왕", "마왕 24시", "KOKORO", "GS25", "1588", "원 ONE", "日本", "마왕 日", "★"],
            {"hangul": 2, "latin": 2, "digits": 1, "mixed": 1, "other": 3},
        ),
        ("english", ["마왕", "원 (ONE)", "24"], {"with": 1, "without": 2}),
    ],
)
def test_strata_of_labels(way: str, truths: list[str], expected: dict[str, int]) -> None:
    rows = [read_row(truth, row=row) for row, truth in enumerate(truths, start=1)]
    assert classes(rows, way) == expected
    assert list(strata(rows)[way]) == list(expected)


def test_strata_of_photos() -> None:
    sizes = [(800, 600), (4000, 3000), (6000, 4000), (1000, 1000), None]
    read = [(800, 588), (1008, 756), None, (1008, 1008), (28, 28)]
    rows = [
        read_row("가", row=row, size=size, read_size=seen)
        for row, (size, seen) in enumerate(zip(sizes, read, strict=True), start=1)
    ]
    assert classes(rows, "size") == {
        "<= 0.5 MP": 1,
        "<= 1 MP": 1,
        "<= 16 MP": 1,
        "> 16 MP": 1,
        "unknown": 1,
    }
    assert strata(rows)["shrunk"] == {"no": [0, 3], "yes": [1], "unknown": [2, 4]}
    assert strata([read_row("가")]).keys() == {"length", "script", "english"}


def test_strata_of_categories() -> None:
    named = [f"업종{place:02}" for place in range(14) for _ in range(20 - place)]
    metadata: list[Any] = [{"business_category": name, "item_sub_category": 3} for name in named]
    metadata += [None, {"business_category": " "}, {"business_category": ["음식"]}]
    metadata.append({"business_category": "other"})
    rows = [read_row("가", row=row, metadata=each) for row, each in enumerate(metadata, start=1)]
    found = classes(rows, "business_category")
    assert list(found) == [f"업종{place:02}" for place in range(MOST_CATEGORIES)] + [
        "other",
        "unknown",
    ]
    assert found["other"] == 10 + 9 + 8 + 7 + 1
    assert found["unknown"] == 3
    assert "item_sub_category" not in strata(rows)


@given(st.lists(st.text(min_size=1, max_size=6), max_size=20))
def test_every_row_is_in_one_class_of_every_way(truths: list[str]) -> None:
    rows = [read_row(truth, row=row) for row, truth in enumerate(truths, start=1)]
    for found in strata(rows).values():
        places = sorted(place for each in found.values() for place in each)
        assert places == list(range(len(rows)))


def readings(seed: int, share: float) -> list[ReadRow]:
    """Sixty rows, of which about a share is right."""
    draw = random.Random(seed)
    return [
        read_row(f"가게{row}", f"가게 {row}" if draw.random() < share else "다른집", row=row)
        for row in range(1, 61)
    ]


def test_two_readings_are_compared_row_by_row() -> None:
    base, tuned = readings(1, 0.4), readings(2, 0.8)
    found = compare({"base": base, "tuned": list(reversed(tuned))})
    assert found.n == 60
    assert found.scores == {"base": summarize(base).scores, "tuned": summarize(tuned).scores}
    [pair] = found.pairs
    assert pair.name == "tuned"
    assert pair.differences.keys() == set(SHARES)
    right = [[measures_of(row).normalized for row in rows] for rows in (base, tuned)]
    fixed = [row.row for row, old, new in zip(base, *right, strict=True) if new and not old]
    broken = [row.row for row, old, new in zip(base, *right, strict=True) if old and not new]
    assert fixed
    assert broken
    assert [change.row for change in pair.fixed] == fixed
    assert [change.row for change in pair.broken] == broken
    assert (pair.fixed[0].before, pair.fixed[0].after) == ("다른집", f"가게 {fixed[0]}")
    table = PairedTable(both=sum(map(min, *right)), first=len(broken), second=len(fixed), neither=0)
    table = msgspec.structs.replace(table, neither=60 - table.n)
    difference = pair.differences["normalized"]
    assert difference.value == pytest.approx((len(fixed) - len(broken)) / 60)
    assert (difference.low, difference.high) == newcombe(table)
    assert difference.p == mcnemar(len(broken), len(fixed))
    assert pair.differences["exact"].value == 0


def test_the_other_way_round_the_signs_change() -> None:
    files = {"a": readings(3, 0.5), "b": readings(4, 0.7)}
    forth, back = compare(files).pairs[0], compare(dict(reversed(files.items()))).pairs[0]
    there, here = forth.differences["accepted"], back.differences["accepted"]
    assert (there.value, there.low, there.high) == pytest.approx(
        (-(here.value or 0), -here.high, -here.low)
    )
    assert (there.p, there.fixed) == (here.p, here.broken)
    assert [change.id for change in forth.fixed] == [change.id for change in back.broken]


def test_more_files_are_each_compared_with_the_first() -> None:
    rows = readings(5, 0.5)
    found = compare({"a": rows, "b": rows, "c": readings(6, 0.9)})
    assert [pair.name for pair in found.pairs] == ["b", "c"]
    same = found.pairs[0].differences["exact"]
    assert (same.value, same.fixed, same.broken, same.p) == (0, 0, 0, 1)
    assert same.low < 0 < same.high


def test_the_same_content_in_two_rows_is_paired_in_order() -> None:
    twice = [read_row("가나", "가나"), msgspec.structs.replace(read_row("가나", "다"), row=2)]
    [pair] = compare({"a": twice, "b": list(reversed(twice))}).pairs
    assert (pair.fixed, pair.broken) == ((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "b: 1 row missing, but in a: row 60 (가게60); compare"),
        (lambda rows: rows[5:], "b: 5 rows missing, but in a: row 1 (가게1), row 2 (가게2), row 3"),
        (lambda rows: [*rows, rows[4]], "b: 2 rows there twice: row 5 (가게5), row 5 (가게5);"),
        (lambda rows: [*rows, read_row("새집", "x", row=61)], "b: 1 row not in a: row 61 (새집);"),
        (
            lambda rows: [read_row("가게0", "x"), *rows[1:]],
            "b: 1 row labelled otherwise than in a: row 1 (가게0);",
        ),
        (
            lambda _rows: [read_row("x", "x", row=99)],
            "b: 60 rows missing, but in a: row 1 (가게1),",
        ),
    ],
)
def test_rows_that_are_not_the_same_are_refused(change: Any, words: str) -> None:
    rows = readings(7, 0.5)
    with pytest.raises(UsageError, match=re.escape(words)):
        compare({"a": rows, "b": change(rows)})
