"""The setups to plan for one model, card and data set, as questions to forecasts."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from core.config import LoraConfig, TrainConfig
from core.profile import Profile
from core.tune.case import Case
from core.tune.fake_model import Architecture
from core.tune.forecast import Forecast, Question, forecast
from core.tune.plan import Kernels
from core.tune.space import Candidate
from core.tune.speed import Speed

_VARLEN_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Ground:
    """What all setups of a plan have in common; see ``Question``."""

    architecture: Architecture
    case: Case
    profile: Profile
    lora: LoraConfig
    train: TrainConfig
    limit_bytes: int
    max_pixels: int | None = None
    hours: float | None = None
    tolerance: float = 0.05

    def question(self, candidate: Candidate) -> Question:
        """What is asked about one setup."""
        profile = self.profile
        compute = compute_format(candidate.weights, profile)
        peaks = {"bf16": profile.bf16_tflops, "fp16": profile.fp16_tflops}
        return Question(
            architecture=self.architecture,
            candidate=candidate,
            compute=compute,
            lora=self.lora,
            train=self.train,
            case=self.case,
            device=profile.device,
            kernels=kernels_of(profile, compute),
            limit_bytes=self.limit_bytes,
            speed=Speed.predicted(peaks.get(compute), profile.bandwidth_gb_s),
            max_pixels=self.max_pixels,
            hours=self.hours,
            tolerance=self.tolerance,
        )


def compute_format(weights: str, profile: Profile) -> str:
    """The number format that weights are multiplied in on a card."""
    return profile.dtypes[0] if weights == "nf4" else weights


def kernels_of(profile: Profile, compute: str) -> Kernels:
    """Which attention kernels training takes on a card."""
    if profile.device == "cpu":
        return "cpu"
    new = (profile.capability or (0, 0)) >= _VARLEN_CAPABILITY
    return "varlen" if new and compute in ("bf16", "fp16") else "sdpa"


def forecasts(
    ground: Ground, candidates: Sequence[Candidate], tell: Callable[[int], None]
) -> Iterator[Forecast]:
    """Every candidate's forecast, in order; several are worked out in processes of their own.

    ``tell`` hears how many are done, and may raise to end it.
    """
    asked = [ground.question(candidate) for candidate in candidates]
    if len(asked) == 1:
        yield forecast(asked[0])
        return
    pool = ProcessPoolExecutor(
        max_workers=min(len(asked), os.cpu_count() or 1),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
    try:
        for done, found in enumerate(pool.map(forecast, asked), start=1):
            tell(done)
            yield found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
