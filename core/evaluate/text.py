"""Scoring replies as texts: answer extraction, normalised forms, and intervals; pure functions."""

import math
import re
from collections.abc import Iterable
from typing import Protocol, Self

import msgspec

from core.nfc import nfc

SIMILAR = 80.0
Z_95 = 1.959964
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^“”]+)”")
_DROPPED = re.compile(r"[^가-힣a-z0-9]")


class RowScore(msgspec.Struct, frozen=True, kw_only=True):
    """How one reply compares with the truth; ``similarity`` is 0-100."""

    exact: bool
    normalized: bool
    similarity: float
    similarity80: bool


class Scored(Protocol):
    """Anything that says whether one reply is right."""

    @property
    def exact(self) -> bool: ...
    @property
    def normalized(self) -> bool: ...
    @property
    def similarity80(self) -> bool: ...


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A share of rows, a fraction with its 95 % Wilson interval; ``value`` is None for no rows."""

    value: float | None
    low: float
    high: float

    @classmethod
    def of(cls, successes: float, n: int) -> Self:
        """The share ``successes / n``; raises ValueError unless 0 <= successes <= n."""
        low, high = wilson(successes, n)
        return cls(value=successes / n if n else None, low=low, high=high)


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The three shares of right rows over ``n`` rows."""

    n: int
    exact: Score
    normalized: Score
    similarity80: Score

    @classmethod
    def of(cls, rows: Iterable[Scored]) -> Self:
        """Counts the rows; no rows give shares without a value, between 0 and 1."""
        scored = list(rows)
        n = len(scored)
        return cls(
            n=n,
            exact=Score.of(sum(row.exact for row in scored), n),
            normalized=Score.of(sum(row.normalized for row in scored), n),
            similarity80=Score.of(sum(row.similarity80 for row in scored), n),
        )


def extract_answer(reply: str) -> str:
    """The shop name within a model's reply, without outer white space.

    Only the reply's first line counts. Where that line describes the picture ("the text" on
    "the sign" or "the image") and quotes something in double quotes, the last quoted piece
    is the answer.
    """
    lines = reply.strip().splitlines()
    line = lines[0].strip() if lines else ""
    lowered = line.lower()
    if "the text" in lowered and ("the sign" in lowered or "the image" in lowered):
        pieces: list[str] = [straight or curly for straight, curly in _QUOTED.findall(line)]
        if pieces:
            return pieces[-1].strip()
    return line


def normalize(text: str) -> str:
    """``text`` in NFC and lower case, with only Hangul syllables, a-z and 0-9 kept."""
    return _DROPPED.sub("", nfc(text).lower())


def similarity(a: str, b: str) -> float:
    """rapidfuzz's ratio (normalised indel similarity, 0-100) of the normalised texts.

    Texts that normalise to nothing, such as "日本" and "中国", are similar only when equal.

    That is 200 M / T, T the characters of both texts and M those of their longest common
    subsequence. difflib's ratio is the same with the M of Ratcliff and Obershelp's greedy search
    (the longest block in both, then the same to its left and to its right), which is never more
    and now and then less: of "가가가나가" and "가나가나가" 가가나가 is in both in order (M = 4, 80
    here), but the block 가나가 leaves nothing to either side (M = 3, 60 there). So where the two
    disagree about the 80 mark, rapidfuzz is the higher one, and syllables are repeated or have
    moved: 15 of 10,000 random names with up to four edits (a test counts them). difflib's ratio
    also depends on which text comes first.
    """
    # The console reads scores without making any, and this import takes 40 ms.
    from rapidfuzz.fuzz import ratio

    left, right = normalize(a), normalize(b)
    if not left and not right:
        return 100.0 if same_text(a, b) else 0.0
    return ratio(left, right)


def score(truth: str, reply: str | None) -> RowScore:
    """Compares a reply with the truth; ``None``, a missing or crashed reply, is wrong.

    Exact: the extracted answer equals the truth after NFC and without outer white space.
    Normalised: they are equal once normalised, or exactly equal where nothing remains.
    """
    return score_answer(truth, None if reply is None else extract_answer(reply))


def score_answer(truth: str, answer: str | None) -> RowScore:
    """Compares an answer as it is with the truth, by the rules of `score`."""
    if answer is None:
        return RowScore(exact=False, normalized=False, similarity=0.0, similarity80=False)
    similar = similarity(truth, answer)
    exact = same_text(truth, answer)
    left = normalize(truth)
    return RowScore(
        exact=exact,
        normalized=exact or (left != "" and left == normalize(answer)),
        similarity=similar,
        similarity80=similar >= SIMILAR,
    )


def wilson(successes: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion, as fractions (Wilson 1927, JASA 22:209).

    No observations tell nothing, so n = 0 gives (0, 1). Raises ValueError unless
    0 <= successes <= n.

    With the sum of n values between 0 and 1 as ``successes`` it is an interval of their mean m: it
    holds every mean whose distance is at most z standard errors by the largest variance that such
    values can have, m (1 - m) (Bhatia and Davis 2000, Am. Math. Monthly 107:353), so that it is
    never too narrow, and never empty where all values are equal.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    weight = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def same_text(a: str, b: str) -> bool:
    """Whether two texts are equal in NFC without outer white space."""
    return nfc(a).strip() == nfc(b).strip()
