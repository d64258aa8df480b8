"""Which syllables of a truth and of a reply are not each other's."""

from typing import Literal, NamedTuple

from core.nfc import nfc

Kind = Literal["same", "replaced", "missing", "added"]
# A name is a few syllables; comparing texts takes the product of their lengths.
MOST_CHARACTERS = 300


class Piece(NamedTuple):
    """Characters that follow one another and share a kind.

    ``missing`` ones are in the truth alone, and an empty piece of that kind stands where the reply
    lacks them; ``added`` ones are in the reply alone.
    """

    text: str
    kind: Kind


def differing(truth: str, reply: str) -> tuple[list[Piece], list[Piece]]:
    """The pieces of both texts by the fewest edits that make one of the other.

    Compared are NFC characters, so that a Hangul syllable is right or wrong as a whole
    (Levenshtein 1966; rapidfuzz's opcodes). A text that is longer than MOST_CHARACTERS ends there
    with an ellipsis.
    """
    # Scores are read without making pages, and this import takes time.
    from rapidfuzz.distance import Levenshtein

    left, right = shortened(nfc(truth)), shortened(nfc(reply))
    of_truth: list[Piece] = []
    of_reply: list[Piece] = []
    for edit in Levenshtein.opcodes(left, right):
        was = left[edit.src_start : edit.src_end]
        now = right[edit.dest_start : edit.dest_end]
        if edit.tag == "equal":
            of_truth.append(Piece(was, "same"))
            of_reply.append(Piece(now, "same"))
            continue
        if was:
            of_truth.append(Piece(was, "replaced" if now else "missing"))
        of_reply.append(Piece(now, ("replaced" if was else "added") if now else "missing"))
    return of_truth, of_reply


def shortened(text: str) -> str:
    """``text``, or its beginning with an ellipsis where it is longer than MOST_CHARACTERS."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
