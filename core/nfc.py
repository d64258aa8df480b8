"""Unicode normalization that no text can make slow."""

import unicodedata
from itertools import groupby

# As many as the Stream-Safe Text Format allows (Unicode Standard Annex 15); languages need few.
MOST_MARKS = 30


def nfc(text: str) -> str:
    """``text`` in NFC, or as it is where a letter has more than MOST_MARKS marks on it.

    Their number squared is what sorting them takes, so that a million would take an hour.
    """
    if unicodedata.is_normalized("NFC", text) or _is_overloaded(text):
        return text
    return unicodedata.normalize("NFC", text)


def _is_overloaded(text: str) -> bool:
    return any(
        are_marks and sum(1 for _ in run) > MOST_MARKS for are_marks, run in groupby(text, _is_mark)
    )


def _is_mark(character: str) -> bool:
    """A few vowel signs are no marks by themselves and two marks once they are taken apart."""
    return unicodedata.combining(unicodedata.normalize("NFD", character)[0]) > 0
