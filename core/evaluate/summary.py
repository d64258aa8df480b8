"""What a set of predictions adds up to: every measure with its interval, and the strata."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from core.evaluate.measures import RowMeasures, measure
from core.evaluate.predictions import ReadRow
from core.evaluate.strata import strata
from core.evaluate.text import Score, Scores, extract_answer

# Row by row these are 0 to 100, in a summary fractions like all else.
PERCENTAGES = frozenset({"similarity", "raw_similarity", "nfkc_similarity"})
_MEASURES = dict.fromkeys(RowMeasures.__struct_fields__).keys()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """``n`` rows: the share or the mean of every measure of RowMeasures, as fractions.

    Intervals are Wilson's at 95 %, for means by their largest possible variance (see `wilson`).
    ``strata`` has Scores by way and class (see core.evaluate.strata).
    """

    n: int
    exact: Score
    normalized: Score
    similarity80: Score
    similarity: Score
    cer: Score
    jaso: Score
    accepted: Score
    contained: Score
    refusal: Score
    over_long: Score
    missing: Score
    raw_exact: Score
    raw_normalized: Score
    raw_similarity: Score
    raw_similarity80: Score
    nfkc_exact: Score
    nfkc_normalized: Score
    nfkc_similarity: Score
    nfkc_similarity80: Score
    kstr_word: Score
    kstr_jaso: Score
    strata: dict[str, dict[str, Scores]] = {}

    @property
    def scores(self) -> Scores:
        """The three shares alone."""
        return Scores(
            n=self.n,
            exact=self.exact,
            normalized=self.normalized,
            similarity80=self.similarity80,
        )


def summarize(rows: Sequence[ReadRow]) -> Summary:
    """All measures over the rows, from the ``scores`` they carry, and their strata.

    Raises ValueError for a row that wasn't scored (see `with_scores`).
    """
    measures = [measures_of(row) for row in rows]
    scores = {
        name: _mean([float(getattr(each, name)) for each in measures], name) for name in _MEASURES
    }
    by_class = {
        way: {
            name: Scores.of(measures[place] for place in places) for name, places in found.items()
        }
        for way, found in strata(rows).items()
    }
    return Summary(n=len(rows), strata=by_class, **scores)


def scored(row: ReadRow) -> ReadRow:
    """The row with its answer extracted and all measures taken, whatever it carried before."""
    found = measure(row.truth, row.reply, metadata=row.metadata, cut=row.cut)
    return msgspec.structs.replace(
        row,
        extracted=None if row.reply is None else extract_answer(row.reply),
        scores=msgspec.structs.asdict(found),
    )


def with_scores(rows: Iterable[ReadRow]) -> list[ReadRow]:
    """The rows, those without the measures of this version scored anew."""
    return [row if row.scores.keys() == _MEASURES else scored(row) for row in rows]


def measures_of(row: ReadRow) -> RowMeasures:
    """The measures that a row carries; raises ValueError where they are none or others."""
    if row.scores.keys() != _MEASURES:
        raise ValueError(f"row {row.row} isn't scored, or by another version")
    return RowMeasures(**row.scores)


def _mean(values: Iterable[float], name: str) -> Score:
    listed = list(values)
    total = math.fsum(listed) / (100 if name in PERCENTAGES else 1)
    return Score.of(min(total, len(listed)), len(listed))
