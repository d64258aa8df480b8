"""Unicode normalization that no text can make slow."""

import unicodedata
from functools import partial
from itertools import groupby
from typing import Literal

# As many as the Stream-Safe Text Format allows (Unicode Standard Annex 15); languages need few.
MOST_MARKS = 30


def nfc(text: str) -> str:
    """``text`` in NFC, or as it is where a letter has more than MOST_MARKS marks on it.

    Their number squared is what sorting them takes, so that a million would take an hour.
    """
    if unicodedata.is_normalized("NFC", text) or _is_overloaded(text, "NFD"):
        return text
    return unicodedata.normalize("NFC", text)


def nfkc(text: str) -> str:
    """``text`` in NFKC: full-width letters, ligatures and the like as plain ones; else as `nfc`."""
    if unicodedata.is_normalized("NFKC", text) or _is_overloaded(text, "NFKD"):
        return text
    return unicodedata.normalize("NFKC", text)


def _is_overloaded(text: str, form: Literal["NFD", "NFKD"]) -> bool:
    return any(
        are_marks and sum(1 for _ in run) > MOST_MARKS
        for are_marks, run in groupby(text, partial(_is_mark, form))
    )


def _is_mark(form: Literal["NFD", "NFKD"], character: str) -> bool:
    """A few signs are no marks by themselves and one or two marks once they are taken apart."""
    return unicodedata.combining(unicodedata.normalize(form, character)[0]) > 0
