"""Random cases for the tuner on the CPU device, and the tuner's own search on them."""

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from core.config import (
    DataConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    ValidationConfig,
)
from core.demo.signboards import PROMPT
from core.events import Setup
from core.model.load import open_config
from core.model.processing import Processing, load_processing
from core.model.vision import Tower
from core.profile import GIB, Profile, load_profile
from core.tune.case import Case, text_of
from core.tune.fake_model import Architecture
from core.tune.forecast import Forecaster, Question
from core.tune.probe import ProbeResult, probe
from core.tune.proof import Proof, Search, spec_of
from core.tune.search import Bounds
from core.tune.space import Candidate
from core.tune.speed import Speed
from core.tune.worst_case import Extremes

SHORT_ANSWER = "A"
# The widest tower of the tiny checkpoints has no windows, so its time rises with the square.
MOST_TOKENS = {"qwen2_vl": 220, "qwen2_5_vl": 600, "qwen3_vl": 600}
MOST_TOKENS_IN_ROWS = 90
TEXTS = (PROMPT, "Read it.", PROMPT * 2, f"{PROMPT} {PROMPT} Answer with the name of the store.")
ANSWERS = (SHORT_ANSWER, "마왕족발", "원마트 (ONE MART)", "행복한 세탁소 (HAPPY LAUNDRY) 2호점" * 2)


@dataclass(frozen=True)
class Tuned:
    """What the tuner chose, in image tokens, after how many probes and traces.

    ``prompts`` are the photos read at a time; ``off`` is how far the traces were off at most.
    """

    tokens: int | None
    prompts: int
    probes: int
    traces: int
    seconds: float
    off: float


@dataclass(frozen=True)
class TuningCase:
    """A data set's extremes, a setup and a capacity; ``first`` is the size of the first photo."""

    number: int
    question: Question
    config: RunConfig
    profile: Profile
    extremes: Extremes
    first: tuple[int, int]
    processing: Processing
    tower: Tower

    @property
    def case(self) -> Case:
        """The data in numbers."""
        return self.question.case

    @property
    def row_tokens(self) -> int:
        """What a micro-batch may hold while the budget is searched for."""
        return self.case.row_tokens

    @property
    def bounds(self) -> Bounds:
        """Budgets that make sense, in image tokens."""
        return self.case.bounds(None)

    def within(self, limit_bytes: int) -> "TuningCase":
        """The same case on a card on which a run may use so many bytes."""
        share = 1 - self.profile.headroom_gib / self.profile.memory_gib
        device = msgspec.structs.replace(
            self.config.device, capacity_gib=(limit_bytes + 1) / GIB / share
        )
        config = msgspec.structs.replace(self.config, device=device)
        limit = self.profile.limit_bytes(device.capacity_gib)
        return replace(self, config=config, question=replace(self.question, limit_bytes=limit))

    def probe(self, tokens: int, row_tokens: int, prompts: int) -> ProbeResult:
        """The tuner's own probe, in this process."""
        asked = self.extremes, self.question, tokens, row_tokens, prompts
        return probe(spec_of(self.config, self.profile, *asked))

    def told(self) -> dict[str, Any]:
        """What is random in it, for a result file."""
        candidate, case = self.question.candidate, self.case
        return {
            "number": self.number,
            "model": self.question.architecture.family.model_type,
            "weights": candidate.weights,
            "rank": candidate.rank,
            "targets": candidate.targets,
            "checkpointing": candidate.checkpointing,
            "sizes": case.sizes,
            "first": self.first,
            "text_tokens": case.text.total,
            "row_tokens": case.row_tokens if case.fixed_row else None,
            "batch": case.batch,
            "slice_rows": case.slice_rows,
            "new_tokens": case.new_tokens,
            "limit_mib": round(self.question.limit_bytes / 2**20, 3),
        }


def draw_case(number: int, seed: int, checkpoints: dict[str, Path]) -> TuningCase:
    """The case of that number, with no limit yet; ``checkpoints`` by model type."""
    pick = random.Random(seed * 1_000_003 + number)
    model_type = pick.choice(sorted(checkpoints))
    config = _draw_config(pick, checkpoints[model_type])
    opened, family = open_config(config.model)
    processing = load_processing(config.model, family)
    fixed_row = pick.random() < 0.25
    most = MOST_TOKENS_IN_ROWS if fixed_row else MOST_TOKENS[model_type]
    sizes = _sizes(pick, most * processing.geometry.pixels_a_token)
    extremes = Extremes(sizes=sizes, prompt=pick.choice(TEXTS), answer=pick.choice(ANSWERS))
    case = Case(
        geometry=processing.geometry,
        text=text_of(extremes, processing.text),
        sizes=sizes,
        counts=(1,) * len(sizes),
        row_tokens=pick.randint(60, 500) if fixed_row else 1,
        fixed_row=fixed_row,
        batch=config.train.batch,
        slice_rows=config.validation.slice_rows,
        new_tokens=config.validation.max_new_tokens,
    )
    return TuningCase(
        number=number,
        question=_question(Architecture(opened, family), config, case),
        config=config,
        profile=load_profile("cpu"),
        extremes=extremes,
        first=pick.choice(sizes),
        processing=processing,
        tower=Tower.of(family, opened),
    )


def _draw_config(pick: random.Random, checkpoint: Path) -> RunConfig:
    return RunConfig(
        name="case",
        model=ModelConfig(path=str(checkpoint), dtype=pick.choice(["fp32", "fp32", "bf16"])),
        data=DataConfig(train="-", validation="-"),
        lora=LoraConfig(
            rank=pick.choice([2, 4, 8, 16, 32, 64]),
            targets=pick.choice(["attention", "language", "language+merger", "all"]),
        ),
        train=TrainConfig(
            batch=pick.choice([1, 2, 4, 8]), checkpointing=pick.choice(["none", 2, "all"])
        ),
        validation=ValidationConfig(
            slice_rows=pick.choice([1, 2, 4]), max_new_tokens=pick.choice([1, 8, 24])
        ),
    )


def _question(architecture: Architecture, config: RunConfig, case: Case) -> Question:
    weights, lora, layers = config.model.dtype, config.lora, config.train.checkpointing
    return Question(
        architecture=architecture,
        candidate=Candidate(weights, lora.rank, lora.targets, layers),
        compute=weights,
        lora=lora,
        train=config.train,
        case=case,
        device="cpu",
        kernels="cpu",
        limit_bytes=0,
        speed=Speed.predicted(None, None),
    )


def _sizes(pick: random.Random, most_pixels: int) -> tuple[tuple[int, int], ...]:
    """Up to six sizes from about 60 pixels an edge up; one in four data sets has a giant photo."""
    giant = pick.random() < 0.25
    largest = most_pixels * (0.3 if giant else pick.uniform(0.1, 0.8))
    found = set()
    for _ in range(pick.randint(1, 6)):
        pixels = 60**2 * (largest / 60**2) ** pick.random()
        found.add(_size(pick, pixels))
    if giant:
        found.add(_size(pick, most_pixels))
    return tuple(sorted(found))


def _size(pick: random.Random, pixels: float) -> tuple[int, int]:
    aspect = pick.choice([0.4, 0.75, 1.0, 1.33, 1.78, 3.0])
    width = (pixels * aspect) ** 0.5
    return round(width), round(pixels / width)


def draw_limit(case: TuningCase, seed: int, low: int, high: int) -> int:
    """Bytes that put the optimum anywhere: below the floor, at the ceiling, or in between.

    ``low`` and ``high`` are the real peaks of floor and ceiling.
    """
    pick = random.Random(seed * 1_000_003 + case.number + 500_009)
    span = max(abs(high - low), high // 50)
    share = pick.choice([pick.uniform(-0.15, 1.2), pick.random() ** 2])
    return int(min(low, high) + share * span)


def tuned(case: TuningCase) -> Tuned:
    """The tuner's own search, with its probes in this process."""
    started = time.perf_counter()
    forecaster = Forecaster(case.question)
    probes, off = 0, 0.0

    def prove(tokens: int, row_tokens: int, prompts: int, predicted: int) -> Proof:
        nonlocal probes, off
        probes += 1
        result = case.probe(tokens, row_tokens, prompts)
        if result.peak_bytes is not None:
            traced = forecaster.peak(tokens, row_tokens, prompts)
            off = max(off, abs(traced / result.peak_bytes - 1))
        return Proof(tokens, _setup(case, tokens, prompts, predicted, result), result)

    proof, _why = Search(forecaster, forecaster.answer(), prove).run()
    return Tuned(
        tokens=None if proof is None else proof.tokens,
        prompts=1 if proof is None else proof.setup.prompts,
        probes=probes,
        traces=forecaster.traces,
        seconds=time.perf_counter() - started,
        off=off,
    )


def _setup(
    case: TuningCase, tokens: int, prompts: int, predicted: int, result: ProbeResult
) -> Setup:
    candidate = case.question.candidate
    return Setup(
        weights=candidate.weights,
        rank=candidate.rank,
        targets=candidate.targets,
        checkpointing=str(candidate.checkpointing),
        micro_batch_tokens=result.micro_batch_tokens or 0,
        max_pixels=case.case.pixels(tokens),
        image_tokens=case.bounds.fill(tokens),
        prompts=prompts,
        predicted_gib=predicted / GIB,
    )
