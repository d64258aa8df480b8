"""Which setups of full-size models are predicted and measured, and what is made of the figures."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.config import LoraConfig, TrainConfig
from core.model.families import family_of
from core.model.families.family import Family
from core.model.presets import preset_config
from core.planning import PHONE_PHOTO
from core.profile import load_profile
from core.train.setup import Precision
from core.tune.blank import TextTokens
from core.tune.case import Case
from core.tune.fake_model import Architecture
from core.tune.forecast import WORKSPACE_BYTES, Question
from core.tune.plan import Kernels, Tracer
from core.tune.search import (
    Bounds,
    Point,
    Trial,
    best_fit,
    next_probe,
    next_trace,
    prediction,
)
from core.tune.space import Candidate
from core.tune.speed import Speed

BASES = (
    ("Qwen2-VL-2B", "bf16"),
    ("Qwen3-VL-2B", "bf16"),
    ("Qwen2-VL-2B", "nf4"),
    ("Qwen2.5-VL-3B", "bf16"),
    ("Qwen3-VL-4B", "bf16"),
    ("Qwen2-VL-7B", "nf4"),
)
# Rank, targets, checkpointing, image tokens a photo, and photos in a packed row.
SHAPES: tuple[tuple[int, str, str | int, int, int], ...] = (
    (16, "attention", "none", 256, 1),
    (16, "language", "none", 256, 4),
    (16, "language", "all", 1024, 1),
    (8, "language+merger", "all", 1024, 1),
    (8, "all", "all", 1024, 1),
    (16, "language", 4, 1024, 2),
    (64, "language", "all", 4096, 1),
    (16, "language", "all", 256, 32),
)
LIMITS = {
    name: load_profile(profile).limit_bytes()
    for name, profile in (
        ("12 GB", "rtx3060-12gb"),
        ("16 GB", "rtx4060ti-16gb"),
        ("24 GB", "rtx4090"),
    )
}
TEXT = TextTokens(before=20, after=24, answer=20)
NEW_TOKENS = 16
SEARCHED = Candidate("bf16", 16, "language", "none")
MARGIN, TOLERANCE = 0.03, 0.05
LARGER = (1.02, 1.04, 1.06, 1.08, 1.10)


class Setup(msgspec.Struct, frozen=True):
    """One row of the comparison: a base, a candidate without its budget, and a packed row."""

    preset: str
    weights: str
    rank: int
    targets: str
    checkpointing: str | int
    image_tokens: int
    photos: int

    @property
    def candidate(self) -> Candidate:
        """The setup as the tuner has it."""
        return Candidate(self.weights, self.rank, self.targets, self.checkpointing)

    @property
    def prompts(self) -> int:
        """Prompts to generate from at a time."""
        return min(4, self.photos)

    def case(self, family: Family) -> Case:
        """Square photos, as many as the packed row has."""
        edge = round(self.image_tokens**0.5) * family.geometry.factor
        row = self.photos * (self.image_tokens + TEXT.total)
        return case_of(family, (edge, edge), row)


def setups() -> list[Setup]:
    """All rows, by base, the cheap ones first."""
    return [Setup(preset, weights, *shape) for preset, weights in BASES for shape in SHAPES]


def case_of(family: Family, photo: tuple[int, int], row_tokens: int | None) -> Case:
    """A data set of photos of one size; a row has one of them where ``row_tokens`` is None."""
    return Case(
        geometry=family.geometry,
        text=TEXT,
        sizes=(photo,),
        counts=(1,),
        row_tokens=row_tokens or 1,
        fixed_row=True,
        batch=32,
        slice_rows=4,
        new_tokens=NEW_TOKENS,
    )


def architecture_of(preset: str) -> Architecture:
    """The shape of a published model."""
    config = preset_config(preset)
    return Architecture(config, family_of(config.model_type, preset))


def predict(setup: Setup, kernels: Kernels) -> dict[str, int]:
    """Predicted peak bytes of each phase, cuBLAS's workspace included; needs no card."""
    architecture = architecture_of(setup.preset)
    case = setup.case(architecture.family)
    traced = Tracer(
        architecture,
        Precision(setup.weights, "bf16"),
        LoraConfig(rank=setup.rank, targets=setup.targets),
        TrainConfig(checkpointing=setup.checkpointing),
        kernels,
    ).trace(
        case.micro_batch(setup.image_tokens, case.row_tokens),
        case.prompts(setup.image_tokens, setup.prompts),
        NEW_TOKENS,
    )
    return {name: size + WORKSPACE_BYTES["cuda"] for name, size in traced.by_phase.items()}


def question(limit: int, kernels: Kernels) -> Question:
    """What the search asks about Qwen2-VL-2B and phone photos."""
    architecture = architecture_of("Qwen2-VL-2B")
    return Question(
        architecture=architecture,
        candidate=SEARCHED,
        compute="bf16",
        lora=LoraConfig(),
        train=TrainConfig(),
        case=case_of(architecture.family, PHONE_PHOTO, None),
        device="cuda",
        kernels=kernels,
        limit_bytes=limit,
        speed=Speed.predicted(None, None),
        tolerance=TOLERANCE,
    )


def limit_for(predicted: int | None) -> int:
    """The smallest card's limit (bytes) that a predicted peak fits; the largest if none does."""
    fitting = [size for size in LIMITS.values() if predicted and predicted * 1.03 <= size]
    return min(fitting, default=max(LIMITS.values()))


def search(
    trace: Callable[[int], int],
    probe: Callable[[int], int | None],
    points: Sequence[Point],
    bounds: Bounds,
    limit: int,
) -> tuple[list[Trial], list[Trial]]:
    """The search's trials, and larger budgets than its choice up to the first that doesn't fit.

    ``trace`` predicts and ``probe`` measures peak bytes at a budget, None where it doesn't fit.
    """

    def tried(tokens: int) -> Trial:
        peak = probe(tokens)
        return Trial(tokens, peak is not None, peak)

    known, trials, beyond = list(points), list[Trial](), list[Trial]()
    while True:
        while tokens := next_trace(known, limit, bounds, TOLERANCE, trials, MARGIN):
            known.append(Point(tokens, trace(tokens)))
        predict = prediction(known, bounds)
        following = next_probe(trials, predict, bounds, limit, TOLERANCE, MARGIN)
        if following is None:
            break
        trials.append(tried(following))
    chosen = best_fit(trials) or bounds.floor
    for tokens in dict.fromkeys(min(int(chosen * share), bounds.ceiling) for share in LARGER):
        if bounds.fill(tokens) > bounds.fill(chosen):
            beyond.append(tried(tokens))
            if not beyond[-1].fits:
                break
    return trials, beyond


def search_figures(trials: Sequence[Trial], beyond: Sequence[Trial]) -> dict[str, Any]:
    """The chosen budget against the largest that really fitted, in image tokens."""
    return {
        "chosen": best_fit(trials),
        "largest": best_fit([*trials, *beyond]),
        "bounded": any(not trial.fits for trial in beyond),
        "probes": len(trials),
        "trials": [(trial.tokens, trial.fits, trial.peak) for trial in trials],
        "beyond": [(trial.tokens, trial.fits, trial.peak) for trial in beyond],
    }


def accuracy(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Errors of predicted against allocated peaks, and what lies between allocator and card.

    A row counts where it has ``predicted`` and ``allocated`` bytes. ``mape`` and ``worst`` are
    shares of allocated; ``reserved`` is the highest ratio of reserved to allocated bytes,
    ``outside`` the most bytes that NVML has beyond reserved ones.
    """
    both = [row for row in rows if row.get("predicted") and row.get("allocated")]
    if not both:
        return {"rows": 0}
    off = [abs(row["predicted"] / row["allocated"] - 1) for row in both]
    return {
        "rows": len(both),
        "mape": statistics.mean(off),
        "worst": max(off),
        "reserved": max(row["reserved"] / row["allocated"] for row in both),
        "outside": max(row["nvml"] - row["reserved"] for row in both),
    }
