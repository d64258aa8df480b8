"""Answer extraction, normalised comparison and Wilson intervals."""

import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.text import (
    RowScore,
    Score,
    Scores,
    extract_answer,
    normalize,
    score,
    similarity,
    wilson,
)

WRONG = RowScore(exact=False, normalized=False, similarity=0.0, similarity80=False)
RIGHT = RowScore(exact=True, normalized=True, similarity=100.0, similarity80=True)
KOREAN = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1)
Form = Literal["NFC", "NFD"]
FORMS: st.SearchStrategy[Form] = st.sampled_from(["NFC", "NFD"])
TALLIES = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("마왕족발", "마왕족발"),
        ("  원마트 (ONE MART) \n", "원마트 (ONE MART)"),
        ("\n\n마왕족발\n서울시 강남구", "마왕족발"),
        ("마왕족발\r\n02-123-4567", "마왕족발"),
        ('The text on the sign reads "마왕족발".', "마왕족발"),
        ('The text in the image says "OPEN" and "마왕 족발"', "마왕 족발"),
        ("THE TEXT on THE SIGN is “kokoro”.", "kokoro"),
        ('The text on the sign reads "A" and "B', "A"),
        ("The text on the sign is 마왕족발", "The text on the sign is 마왕족발"),
        ('The text on the sign is ""', 'The text on the sign is ""'),
        ('상호는 "마왕족발"', '상호는 "마왕족발"'),
        ('The image shows "마왕족발"', 'The image shows "마왕족발"'),
        ('The text reads "마왕족발"', 'The text reads "마왕족발"'),
        ('마왕족발\nThe text on the sign is "다른집"', "마왕족발"),
        ('The text on the sign is:\n"마왕족발"', "The text on the sign is:"),
        ("", ""),
        (" \n\t", ""),
    ],
)
def test_extract_answer(reply: str, answer: str) -> None:
    assert extract_answer(reply) == answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KOKORO", "kokoro"),
        ("마왕 족발", "마왕족발"),
        ("원마트 (ONE MART) 24시!", "원마트onemart24시"),
        ("ㅋㅋ日本☆", ""),
        ("Café", "caf"),
        (unicodedata.normalize("NFD", "마왕족발"), "마왕족발"),
        ("\u212a-POP", "kpop"),
    ],
)
def test_normalize(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("마왕족발", "마왕 족발", 100.0),
        ("마왕", "마님", 50.0),
        ("가나다", "가나라", 200 / 3),
        ("가나다라마", "가나다라바", 80.0),
        ("마왕족발", "마왕족발02", 80.0),
        ("마왕족발", "", 0.0),
        ("", "", 100.0),
        ("日本", "日本", 100.0),
        ("日本", "中国", 0.0),
    ],
)
def test_similarity(a: str, b: str, expected: float) -> None:
    assert similarity(a, b) == pytest.approx(expected)


def test_a_right_reply() -> None:
    assert score("마왕족발", " 마왕족발\n") == RIGHT
    assert score("마왕족발", unicodedata.normalize("NFD", "마왕족발")) == RIGHT
    assert score("마왕족발", 'The text on the sign is "마왕족발".') == RIGHT


def test_case_and_spacing_are_normalised_but_not_exact() -> None:
    for truth, reply in (("kokoro", "KOKORO"), ("마왕족발", "마왕 족발")):
        row = score(truth, reply)
        assert (row.exact, row.normalized, row.similarity80) == (False, True, True)


def test_the_80_mark_counts_as_similar() -> None:
    row = score("가나다라마", "가나다라바")
    assert (row.normalized, row.similarity, row.similarity80) == (False, 80.0, True)
    assert not score("가나다라", "가나다마").similarity80


@pytest.mark.parametrize("truth", ["마왕족발", "", "日本"])
def test_a_missing_reply_is_wrong(truth: str) -> None:
    assert score(truth, None) == WRONG


@pytest.mark.parametrize(
    ("truth", "reply"),
    [("마왕족발", ""), ("日本", ""), ("日本", "中国"), ("★", "☆"), ("", "☆"), ("마왕족발", "☆")],
)
def test_nothing_left_to_compare_is_wrong(truth: str, reply: str) -> None:
    assert score(truth, reply) == WRONG


@pytest.mark.parametrize(("truth", "reply"), [("", ""), ("", " \n"), ("日本", "日本 ")])
def test_an_equal_text_is_right_even_where_nothing_is_left(truth: str, reply: str) -> None:
    assert score(truth, reply) == RIGHT


@given(st.text(), st.text())
def test_scores_keep_their_order_and_bounds(truth: str, reply: str) -> None:
    row = score(truth, reply)
    assert 0 <= row.similarity <= 100
    assert row.exact <= row.normalized <= row.similarity80
    assert row.similarity80 == (row.similarity >= 80)


@given(KOREAN, st.text(), FORMS, FORMS)
def test_composed_and_decomposed_text_score_alike(
    truth: str, reply: str, left: Form, right: Form
) -> None:
    forms = unicodedata.normalize(left, truth), unicodedata.normalize(right, reply)
    assert score(*forms) == score(truth, reply)
    assert score(truth, forms[0]) == RIGHT


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert all(
        "가" <= letter <= "힣" or letter in "abcdefghijklmnopqrstuvwxyz0123456789"
        for letter in once
    )


@given(st.text(), st.text())
def test_similarity_has_no_direction(a: str, b: str) -> None:
    assert similarity(a, b) == pytest.approx(similarity(b, a))
    assert similarity(a, a) == 100.0


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(2, 20, 2.8, 30.1), (7, 20, 18.1, 56.7), (8, 20, 21.9, 61.3), (0, 10, 0.0, 27.8)],
)
def test_wilson_against_known_intervals(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert (round(found[0] * 100, 1), round(found[1] * 100, 1)) == (low, high)


@given(TALLIES)
def test_wilson_holds_the_share_within_bounds(tally: tuple[int, int]) -> None:
    successes, n = tally
    low, high = wilson(successes, n)
    assert 0 <= low < high <= 1
    if n:
        assert low <= successes / n <= high
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_wilson_rises_with_successes_and_narrows_with_rows(tally: tuple[int, int]) -> None:
    successes, n = tally
    low, high = wilson(successes, n)
    better = wilson(successes + 1, n)
    assert better[0] > low
    assert better[1] > high or better[1] == high == 1
    more = wilson(successes * 10, n * 10)
    assert more[1] - more[0] < high - low
    wider = wilson(successes, n, z=2.575829)
    assert wider[1] - wider[0] > high - low


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes of {n}"):
        wilson(successes, n)


def test_scores_of_rows() -> None:
    rows = [score("마왕족발", reply) for reply in ("마왕족발", "마왕 족발", "마왕족발02", None)]
    scores = Scores.of(iter(rows))
    assert scores.n == 4
    assert [scores.exact.value, scores.normalized.value, scores.similarity80.value] == [
        0.25,
        0.5,
        0.75,
    ]
    assert (scores.exact.low, scores.exact.high) == wilson(1, 4)


def test_no_rows_know_nothing() -> None:
    nothing = Score(value=None, low=0.0, high=1.0)
    assert Scores.of([]) == Scores(n=0, exact=nothing, normalized=nothing, similarity80=nothing)


def test_importing_the_scorer_is_light() -> None:
    code = (
        "import sys, core.evaluate.text; print({'torch', 'numpy', 'rapidfuzz'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
