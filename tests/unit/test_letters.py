"""Korean letters, the distances between them, and K-STR-Bench's rules."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.jaso import jaso, one_minus_ned
from core.evaluate.kstr import WILDCARD, kstr_jaso, kstr_word, wildcard_distance

HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("마왕 ㅋㅋ A1", "ㅁㅏㅇㅘㅇ ㅋㅋ A1"),
        ("닭값", "ㄷㅏㄺㄱㅏㅄ"),
        ("\u1100", "ㄱ"),
        ("\u1161\u11a8", "ㅏㄱ"),
        (unicodedata.normalize("NFD", "힣"), "ㅎㅣㅎ"),
    ],
)
def test_syllables_come_apart_into_letters(text: str, letters: str) -> None:
    assert jaso(text) == letters


@given(st.text(HANGUL))
def test_letters_are_those_of_unicode(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)
    names = [unicodedata.name(letter).split()[-1] for letter in jaso(text)]
    assert names == [unicodedata.name(letter).split()[-1] for letter in apart]


@pytest.mark.parametrize(
    ("truth", "answer", "word", "letters"),
    [
        ("퀸 노래방", "퀸노래방", True, 1.0),
        ("Cafe", "cafe", False, 0.75),
        ("가□다", "가나다", True, 1.0),
        ("가□다", "가다", True, 1.0),
        ("가□다", "가나나다", False, 1 - 1 / 8),
        ("□", "", True, 1.0),
        ("□□", "가나", True, 1.0),
        ("□", "가나", False, 1 - 1 / 4),
        ("가나", "가□", False, 1 - 3 / 5),
    ],
)
def test_k_str_bench(truth: str, answer: str, word: bool, letters: float) -> None:
    assert kstr_word(truth, answer) is word
    assert kstr_jaso(truth, answer) == pytest.approx(letters)


def expansions(label: str, alphabet: str) -> set[str]:
    """All that a label can stand for."""
    found = {""}
    for letter in label:
        choices = ("", *alphabet) if letter == WILDCARD else (letter,)
        found = {begun + choice for begun in found for choice in choices}
    return found


def levenshtein(a: str, b: str) -> int:
    above = list(range(len(b) + 1))
    for place, letter in enumerate(a, start=1):
        row = [place]
        for at, other in enumerate(b, start=1):
            row.append(min(above[at] + 1, row[-1] + 1, above[at - 1] + (letter != other)))
        above = row
    return above[-1]


@given(st.text("ab□", max_size=5), st.text("abc", max_size=5))
def test_a_wildcard_stands_for_any_character_or_none(label: str, word: str) -> None:
    best = min(levenshtein(each, word) for each in expansions(label, "abc"))
    assert wildcard_distance(label, word) == best


@given(st.text(max_size=9), st.text(max_size=9))
def test_distances_equal_those_of_the_textbook(a: str, b: str) -> None:
    longest = max(len(a), len(b))
    assert one_minus_ned(a, b) == pytest.approx(1 - levenshtein(a, b) / longest if longest else 1)
    assert one_minus_ned(a, b) == one_minus_ned(b, a)
