"""NFC of any text that somebody wrote, in a time that grows with its length alone."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.schemas import clean
from core.evaluate.text import normalize
from core.nfc import MOST_MARKS, nfc, nfkc

MARKS = st.text("e가ㄱ\u1100\u1161\u11a8\u0316\u0301\u0344\u0f73\uff9e", max_size=MOST_MARKS)


@given(st.text() | MARKS)
def test_it_is_the_standards(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)
    assert nfkc(text) == unicodedata.normalize("NFKC", text)


@given(st.text(max_size=200))
def test_decomposed_text_comes_back(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert nfc(unicodedata.normalize("NFD", composed)) == composed


@pytest.mark.parametrize(
    "marks", ["\u0316\u0301", "\u0301\u0316", "\u0f73", "\u0344", "\u0301", "\uff9e\u0334"]
)
@pytest.mark.parametrize("put_in_order", [nfc, nfkc, clean, normalize])
def test_a_megabyte_of_marks_takes_no_minutes(marks: str, put_in_order: object) -> None:
    assert callable(put_in_order)
    text = "e" + marks * (500_000 // len(marks))
    began = time.process_time()
    put_in_order(text)
    assert time.process_time() - began < 5
