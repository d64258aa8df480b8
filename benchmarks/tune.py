"""The tuner against plain bisection and accelerate's finder, on random cases on the CPU device.

``python benchmarks/tune.py [--cases 200] [--seed 0] [--out FILE]``: tiny untrained checkpoints of
all families, data sets of random photo sizes and texts, random setups, and a capacity drawn so
that the optimum lies anywhere between the smallest and the largest budget. The optimum is found by
measuring real peaks. A choice counts as a share of it in image tokens of the largest photo, and as
nothing where training on the worst batch runs out of memory.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import find_executable_batch_size
from machine import machine
from transformers.utils import logging
from tuning_cases import TuningCase, draw_case, draw_limit, tuned
from tuning_truth import Peaks, Training

from core.model.families import FAMILIES
from core.tune.search import MAX_PROBES, Trial, best_fit, next_bisection

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 0.05
FINDERS = ("kocr-tui", "bisection", "accelerate")


@dataclass(frozen=True)
class Choice:
    """What a finder chose: image tokens as a budget, after how many real trials.

    ``level`` is what the largest photo becomes at it, ``share`` that of the optimum's, ``holds``
    whether it trains on the worst batch.
    """

    tokens: int | None
    trials: int
    seconds: float
    level: int
    share: float
    holds: bool
    holds_mixed: bool | None = None
    traces: int = 0
    off: float = 0.0


class Contest:
    """One case, its optimum, and every finder's choice."""

    def __init__(self, case: TuningCase, seed: int) -> None:
        self.peaks = Peaks(case)
        low, high = (self.peaks(tokens) for tokens in (case.bounds.floor, case.bounds.ceiling))
        self.case = case.within(draw_limit(case, seed, low, high))
        self.limit = self.case.question.limit_bytes
        self.optimum = self.peaks.optimum(self.limit)
        self._held: dict[tuple[int, int], bool] = {}

    def run(self) -> dict[str, Choice]:
        """Every finder's choice."""
        return {
            "kocr-tui": self.ours(),
            "bisection": self._bisect(),
            "accelerate": self._accelerate(),
        }

    def ours(self) -> Choice:
        """The tuner's."""
        found = tuned(self.case)
        mixed = None
        if found.tokens is not None:
            training = Training(self.case, found.tokens, found.prompts)
            mixed = training.holds(training.mixed)
        return self._choice(
            found.tokens,
            found.probes,
            found.seconds,
            found.prompts,
            holds_mixed=mixed,
            traces=found.traces,
            off=found.off,
        )

    def _bisect(self) -> Choice:
        trials: list[Trial] = []
        bounds = self.case.bounds
        while tokens := next_bisection(trials, bounds, TOLERANCE):
            trials.append(Trial(tokens, self.peaks(tokens) <= self.limit))
        seconds = sum(self.peaks.seconds[bounds.fill(trial.tokens)] for trial in trials)
        return self._choice(best_fit(trials), len(trials), seconds)

    def _accelerate(self) -> Choice:
        """accelerate's own function on the photo that comes first, from the ceiling down."""
        fits: dict[int, bool] = {}
        tried, started, geometry = [], time.perf_counter(), self.case.case.geometry

        @find_executable_batch_size(starting_batch_size=self.case.bounds.ceiling)
        def train(tokens: int) -> int:
            tried.append(tokens)
            level = geometry.image_tokens(*self.case.first, self.case.case.pixels(tokens))
            if level not in fits:
                training = Training(self.case, tokens)
                fits[level] = training.holds(training.first_photo)
            if not fits[level]:
                raise torch.OutOfMemoryError("CPU out of memory.")
            return tokens

        try:
            chosen = train()
        except RuntimeError as error:
            if "No executable batch size" not in str(error):
                raise
            chosen = None
        return self._choice(chosen, len(tried), time.perf_counter() - started)

    def _choice(
        self, tokens: int | None, trials: int, seconds: float, prompts: int = 1, **more: Any
    ) -> Choice:
        level = 0 if tokens is None else self.case.bounds.fill(tokens)
        holds = tokens is None or self._holds(level, tokens, prompts)
        if self.optimum is None:
            share = 1.0 if tokens is None else 0.0
        else:
            share = level / self.optimum if holds else 0.0
        return Choice(tokens, trials, seconds, level, share, holds, **more)

    def _holds(self, level: int, tokens: int, prompts: int) -> bool:
        if (level, prompts) not in self._held:
            training = Training(self.case, tokens, prompts)
            self._held[level, prompts] = training.holds(training.worst)
        return self._held[level, prompts]


def make_checkpoints(folder: Path) -> dict[str, Path]:
    """A tiny untrained checkpoint of every family, as the tests have them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_models import make_checkpoint

    return {name: make_checkpoint(folder / name, name) for name in sorted(FAMILIES)}


def summary(choices: list[Choice]) -> dict[str, Any]:
    """Figures of one finder over all cases."""
    trials = [choice.trials for choice in choices]
    shares = [choice.share for choice in choices]
    return {
        "probes": {
            "median": statistics.median(trials),
            "mean": round(statistics.mean(trials), 2),
            "max": max(trials),
        },
        "share_of_optimum": {
            "min": round(min(shares), 4),
            "mean": round(statistics.mean(shares), 4),
            "cases_of_95_percent": round(sum(s >= 0.95 for s in shares) / len(shares), 4),
        },
        "fails_on_the_worst_batch": sum(not choice.holds for choice in choices),
        "fails_on_a_mixed_batch": sum(choice.holds_mixed is False for choice in choices),
        "traces": {
            "mean": round(statistics.mean(choice.traces for choice in choices), 2),
            "max": max(choice.traces for choice in choices),
        },
        "prediction_off_by_at_most": round(max(choice.off for choice in choices), 5),
        "seconds": round(statistics.mean(choice.seconds for choice in choices), 3),
    }


@dataclass(frozen=True)
class Outcome:
    """What became of a case: every finder's choice, and the case in words for a result file."""

    kind: str
    rises: bool
    choices: dict[str, Choice]
    told: dict[str, Any]

    @property
    def broken(self) -> bool:
        """Whether our choice breaks what is claimed of every case."""
        ours = self.choices["kocr-tui"]
        fails = not ours.holds or ours.holds_mixed is False
        return fails or ours.trials > MAX_PROBES or ours.share < 1 - TOLERANCE


def run_case(asked: tuple[int, int, dict[str, Path]]) -> Outcome:
    """The case of a number, a seed and checkpoints by model type."""
    number, seed, checkpoints = asked
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    contest = Contest(draw_case(number, seed, checkpoints), seed)
    found = contest.run()
    levels = contest.peaks.levels
    told = contest.case.told() | {
        "levels": [levels[0], levels[-1], len(levels)],
        "measured": len(contest.peaks.bytes_of),
        "optimum": contest.optimum,
        **{name: asdict(choice) for name, choice in found.items()},
    }
    between = "all fit" if contest.optimum == levels[-1] else "between"
    kind = "none fits" if contest.optimum is None else between
    return Outcome(kind, contest.peaks.rises(), found, told)


def main() -> int:
    """Runs all cases, writes the result, and prints the table last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(options.workers, get_context("spawn")) as pool,
    ):
        checkpoints = make_checkpoints(Path(folder))
        asked = [(number, options.seed, checkpoints) for number in range(options.cases)]
        for outcome in pool.map(run_case, asked):
            outcomes.append(outcome)
            print(_line(outcome), file=sys.stderr, flush=True)
    report = {
        "machine": machine("torch", "transformers", "peft", "accelerate"),
        "cases": options.cases,
        "seed": options.seed,
        "optimum": Counter(outcome.kind for outcome in outcomes),
        "cases_with_falling_peaks": sum(not outcome.rises for outcome in outcomes),
        "seconds": round(time.perf_counter() - started, 1),
        "finders": {name: summary([one.choices[name] for one in outcomes]) for name in FINDERS},
        "short_of_claim": [outcome.told for outcome in outcomes if outcome.broken],
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print(report)
    return 1 if report["short_of_claim"] else 0


def _line(outcome: Outcome) -> str:
    told = (
        f"{name} {choice.trials} trials {choice.share:.3f}{'' if choice.holds else ' FAILS'}"
        for name, choice in outcome.choices.items()
    )
    case = outcome.told
    line = f"case {case['number']}: {case['optimum']} of {case['levels']}; {'; '.join(told)}"
    return f"{line}\n{json.dumps(case)}" if outcome.broken else line


def _print(report: dict[str, Any]) -> None:
    print(f"{report['cases']} cases, optimum: {dict(report['optimum'])}, {report['seconds']:.0f} s")
    for name, figures in report["finders"].items():
        probes, share = figures["probes"], figures["share_of_optimum"]
        print(
            f"{name:12} probes {probes['median']:4.1f} (mean {probes['mean']:5.2f}, most "
            f"{probes['max']:3})  of the optimum {share['mean'] * 100:5.1f} % (least "
            f"{share['min'] * 100:5.1f} %), >= 95 %: {share['cases_of_95_percent'] * 100:5.1f} %  "
            f"fails on the worst batch {figures['fails_on_the_worst_batch']:3}  "
            f"{figures['seconds']:6.2f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
