"""What the tracer says without weights or a card is what the real step takes on a CUDA card."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
import traced_setups
from sign_rows import PROMPT
from traced_setups import ANSWER, SIZES
from training import BUDGET, Bench, photo, step

from core.config import DeviceConfig, LoraConfig, TrainConfig
from core.data.samples import Sample
from core.evaluate.generate import SignReader
from core.hardware.device import Device, open_device
from core.model.families import FAMILIES
from core.model.load import open_config
from core.profile import load_profile
from core.train.setup import Precision
from core.tune.blank import BlankSamples, TextTokens
from core.tune.fake_model import Architecture
from core.tune.forecast import WORKSPACE_BYTES
from core.tune.plan import Traced, Tracer
from core.tune.questions import kernels_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")
TOLERANCE = 0.02
BF16 = Precision("bf16", "bf16")
SETUPS: dict[str, dict[str, Any]] = traced_setups.SETUPS | {
    "recomputed, long": {"checkpointing": "all", "sizes": SIZES * 6},
}


class Span:
    """Allocated bytes since it was made, without cuBLAS's workspaces, which have no part in it."""

    def __init__(self) -> None:
        gc.collect()
        torch._C._cuda_clearCublasWorkspaces()
        self._before = torch.cuda.memory_allocated()

    def peak_bytes(self) -> int:
        """The most since ``reset_peak``, whose workspaces are there to its end and then go."""
        peak, held = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        torch._C._cuda_clearCublasWorkspaces()
        self.workspace_bytes = held - torch.cuda.memory_allocated()
        return peak - self.workspace_bytes - self._before


@pytest.fixture(scope="module", params=list(FAMILIES))
def bench(request: pytest.FixtureRequest, tiny_families: dict[str, Path]) -> Bench:
    return Bench.of(tiny_families[request.param])


@pytest.fixture
def device() -> Device:
    return open_device(DeviceConfig(capacity_gib=4.0), load_profile("auto"))


def settings(asked: dict[str, Any]) -> dict[str, Any]:
    usual = {
        "precision": BF16,
        "targets": "language",
        "checkpointing": "none",
        "rank": 4,
        "dropout": 0.0,
        "sizes": SIZES,
    }
    return usual | asked


def trace(bench: Bench, asked: dict[str, Any], prompts: int = 0, new_tokens: int = 8) -> Traced:
    config, family = open_config(bench.model)
    tracer = Tracer(
        Architecture(config, family),
        asked["precision"],
        LoraConfig(rank=asked["rank"], targets=asked["targets"], dropout=asked["dropout"]),
        TrainConfig(checkpointing=asked["checkpointing"]),
        kernels_of(load_profile("auto"), "bf16"),
    )
    before, after = bench.processing.text.prompt_ids(PROMPT)
    text = TextTokens(len(before), len(after), len(bench.processing.text.answer_ids(ANSWER)))
    shapes = BlankSamples(bench.processing.geometry, text, BUDGET)
    samples = [shapes.sample(*size) for size in asked["sizes"]]
    asking = [shapes.sample(*size, with_answer=False) for size in SIZES[:prompts]]
    return tracer.trace(samples, asking, new_tokens)


def encoded(bench: Bench, sizes: list[tuple[int, int]], answer: str | None) -> list[Sample]:
    encoder = bench.processing.encoder(BUDGET)
    return [encoder.encode(photo(size), PROMPT, answer) for size in sizes]


@pytest.mark.parametrize("setup", SETUPS)
def test_a_traced_step_peaks_where_the_cards_does(bench: Bench, device: Device, setup: str) -> None:
    asked = settings(SETUPS[setup])
    samples = encoded(bench, asked["sizes"], ANSWER)
    span = Span()
    trainable = bench.trainable(
        precision=asked["precision"],
        targets=asked["targets"],
        device=device,
        lora=LoraConfig(rank=asked["rank"], targets=asked["targets"], dropout=asked["dropout"]),
        checkpointing=asked["checkpointing"],
    )
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        step(trainable, [bench.micro_batch(samples) for _ in range(2)])
    measured = span.peak_bytes()
    assert trace(bench, asked).peak_bytes == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("prompts", [1, 4])
@pytest.mark.parametrize("new_tokens", [1, 40])
def test_traced_generation_peaks_where_the_cards_does(
    bench: Bench, device: Device, prompts: int, new_tokens: int
) -> None:
    span = Span()
    trainable = bench.trainable(precision=BF16, device=device)
    for _ in range(2):
        step(trainable, [bench.micro_batch(encoded(bench, SIZES[:1], ANSWER))])
    reader = SignReader(
        trainable.base, bench.processing, device, max_pixels=BUDGET, max_new_tokens=new_tokens
    )
    torch.cuda.reset_peak_memory_stats()
    reader.generate(encoded(bench, SIZES[:prompts], None), full_length=True)
    measured = span.peak_bytes()
    traced = trace(bench, settings({}), prompts, new_tokens)
    assert traced.by_phase["generation"] == pytest.approx(measured, rel=TOLERANCE)


def test_the_workspaces_of_a_step_are_what_a_forecast_adds(bench: Bench, device: Device) -> None:
    span = Span()
    trainable = bench.trainable(precision=BF16, device=device)
    step(trainable, [bench.micro_batch(encoded(bench, SIZES, ANSWER))])
    span.peak_bytes()
    assert 0 < span.workspace_bytes <= WORKSPACE_BYTES["cuda"]
