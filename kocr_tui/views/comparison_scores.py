"""Which of the compared runs is better, and whether the intervals bear it out; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.evaluate.text import Score
from core.events import Validated
from kocr_tui.strings import say
from kocr_tui.views.comparison import LETTERS, Compared, Stage

MEASURES = ("exact", "normalized", "similarity80")
STAGES: tuple[Stage, ...] = ("final", "rolling", "best", "baseline")
Rank = Literal["", "best", "apart"]


@dataclass(frozen=True)
class Verdict:
    """The run with the best score, those whose intervals lie below its own, and the others.

    ``equal`` are the others that have the very same score.
    """

    best: int
    below: tuple[int, ...]
    within: tuple[int, ...]
    equal: tuple[int, ...] = ()


def score_of(scores: Validated | None, measure: str) -> Score | None:
    """A measure of a pass; None where there is no pass or it read nothing."""
    score: Score | None = getattr(scores.scores, measure) if scores else None
    return score if score is not None and score.value is not None else None


def stage_scores(runs: Sequence[Compared], stage: Stage, measure: str) -> list[Score | None]:
    """A measure of a stage in every run."""
    return [score_of(run.stages.get(stage), measure) for run in runs]


def deciding_stage(runs: Sequence[Compared]) -> Stage | None:
    """The latest stage that every run has come to, None where there is none after the baseline."""
    for stage in STAGES[:-1]:
        if all(score_of(run.stages.get(stage), MEASURES[0]) for run in runs):
            return stage
    return None


def verdict(scores: Sequence[Score | None]) -> Verdict | None:
    """Compares the best score with each of the others; None where fewer than two are there."""
    known = {index: score for index, score in enumerate(scores) if score is not None}
    if len(known) < 2:
        return None
    best = max(known, key=lambda index: (known[index].value or 0.0, known[index].low))
    others = [index for index in known if index != best]
    equal = tuple(index for index in others if known[index].value == known[best].value)
    below = tuple(index for index in others if known[index].high < known[best].low)
    within = tuple(index for index in others if index not in (*below, *equal))
    return Verdict(best, below, within, equal)


def score_ranks(scores: Sequence[Score | None]) -> list[Rank]:
    """The mark of each score: the best value, and whether its interval is apart from all others."""
    found = verdict(scores)
    ranks = best_ranks([score.value if score else None for score in scores], larger=True)
    if found is not None and not found.within and not found.equal:
        ranks[found.best] = "apart"
    return ranks


def best_ranks(values: Sequence[float | None], *, larger: bool) -> list[Rank]:
    """Marks the best of values that differ; equal bests are all marked."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return [""] * len(values)
    best = max(known) if larger else min(known)
    return ["best" if value == best else "" for value in values]


def sentence(measure: str, found: Verdict) -> str:
    """The verdict in one plain sentence."""
    name = say(f"measure.{measure}")
    leaders = (found.best, *found.equal)
    if not found.below and not found.within:
        return say("compare.verdict.equal", measure=name, best=_letters(leaders))
    kind = "within" if not found.below else "apart" if not found.within else "mixed"
    return say(
        f"compare.verdict.{kind}",
        measure=name,
        best=_letters(leaders, " = "),
        below=_letters(found.below),
        within=_letters(found.within),
    )


def _letters(indices: Sequence[int], between: str = ", ") -> str:
    return between.join(LETTERS[index] for index in sorted(indices))
