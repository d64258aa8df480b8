"""Every measure of one reply against the truth; pure functions."""

from collections.abc import Mapping

import msgspec

from core.evaluate.jaso import jaso, one_minus_ned
from core.evaluate.kstr import kstr_jaso, kstr_word
from core.evaluate.names import accepted_forms, is_accepted, is_contained
from core.evaluate.refusals import is_over_long, is_refusal
from core.evaluate.text import extract_answer, score_answer
from core.nfc import nfc, nfkc


class RowMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """How one reply compares with the truth, all texts in NFC.

    Of the answer that `extract_answer` finds in the reply:

    - ``exact``, ``normalized``, ``similarity`` (0-100), ``similarity80``: as in core.evaluate.text.
    - ``cer``: Levenshtein distance in characters over the truth's length, without outer white
      space. Capped at 1: one reply that runs away would else outweigh a hundred names.
    - ``jaso``: 1-NED of the letters, 0 to 1, white space and case counted.
    - ``accepted``: the Korean name, the English one or both, once normalised (names.py).
    - ``kstr_word``, ``kstr_jaso``: K-STR-Bench's word accuracy and jaso 1-NED (kstr.py).
    - ``nfkc_…``: the first four with both texts in NFKC.

    Of the reply itself: ``raw_…``, the first four; ``contained``, a form of the name stands in it;
    ``refusal`` and ``over_long`` (refusals.py; also a reply that only its bound ended).
    ``missing`` is true where there is no reply: then nothing is right, every similarity 0, ``cer``
    1, and there is neither a refusal nor an over-long reply.
    """

    exact: bool = False
    normalized: bool = False
    similarity: float = 0.0
    similarity80: bool = False
    cer: float = 1.0
    jaso: float = 0.0
    accepted: bool = False
    contained: bool = False
    refusal: bool = False
    over_long: bool = False
    missing: bool = False
    raw_exact: bool = False
    raw_normalized: bool = False
    raw_similarity: float = 0.0
    raw_similarity80: bool = False
    nfkc_exact: bool = False
    nfkc_normalized: bool = False
    nfkc_similarity: float = 0.0
    nfkc_similarity80: bool = False
    kstr_word: bool = False
    kstr_jaso: float = 0.0


MISSING = RowMeasures(missing=True)


def measure(
    truth: str,
    reply: str | None,
    *,
    metadata: Mapping[str, object] | None = None,
    cut: bool = False,
) -> RowMeasures:
    """All measures of a reply; ``None``, a missing or crashed one, is wrong in every one of them.

    ``metadata`` may name the shop's Korean and English names, and ``cut`` says that only the bound
    on its length ended the reply.
    """
    if reply is None:
        return MISSING
    answer = extract_answer(reply)
    read, raw = score_answer(truth, answer), score_answer(truth, reply)
    compatible = score_answer(nfkc(truth), nfkc(answer))
    forms = accepted_forms(truth, metadata)
    accepted = is_accepted(forms, answer)
    return RowMeasures(
        exact=read.exact,
        normalized=read.normalized,
        similarity=read.similarity,
        similarity80=read.similarity80,
        cer=character_error_rate(truth, answer),
        jaso=one_minus_ned(jaso(truth).strip(), jaso(answer).strip()),
        accepted=accepted,
        contained=accepted or is_contained(forms, reply),
        refusal=is_refusal(reply),
        over_long=cut or is_over_long(truth, reply),
        raw_exact=raw.exact,
        raw_normalized=raw.normalized,
        raw_similarity=raw.similarity,
        raw_similarity80=raw.similarity80,
        nfkc_exact=compatible.exact,
        nfkc_normalized=compatible.normalized,
        nfkc_similarity=compatible.similarity,
        nfkc_similarity80=compatible.similarity80,
        kstr_word=kstr_word(truth, answer),
        kstr_jaso=kstr_jaso(truth, answer),
    )


def character_error_rate(truth: str, answer: str) -> float:
    """Levenshtein distance in NFC characters over the truth's length, 1 at most.

    Of an empty truth 0 where the answer is empty, too, else 1.
    """
    from rapidfuzz.distance import Levenshtein

    left, right = nfc(truth).strip(), nfc(answer).strip()
    if not left:
        return 1.0 if right else 0.0
    return min(1.0, Levenshtein.distance(left, right) / len(left))
