"""What the tracer says without weights is what the real step takes on the CPU."""

from pathlib import Path
from typing import Any

import pytest
import traced_setups
from sign_rows import PROMPT
from traced_setups import ANSWER, SIZES
from training import BUDGET, Bench, photo, step

from core.config import LoraConfig, TrainConfig
from core.data.samples import Sample
from core.evaluate.generate import SignReader
from core.hardware.device import CpuDevice
from core.model.families import FAMILIES
from core.model.load import open_config
from core.train.setup import Precision
from core.tune.blank import BlankSamples, TextTokens
from core.tune.fake_model import Architecture
from core.tune.plan import Traced, Tracer

TOLERANCE = 0.005
FP32, BF16 = Precision("fp32", "fp32"), Precision("bf16", "bf16")
SETUPS: dict[str, dict[str, Any]] = traced_setups.SETUPS | {
    "bf16": {"precision": BF16},
    "bf16, recomputed, long": {"precision": BF16, "checkpointing": "all", "sizes": SIZES * 6},
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def bench(request: pytest.FixtureRequest, tiny_families: dict[str, Path]) -> Bench:
    return Bench.of(tiny_families[request.param])


def settings(asked: dict[str, Any]) -> dict[str, Any]:
    usual = {
        "precision": FP32,
        "targets": "language",
        "checkpointing": "none",
        "rank": 4,
        "dropout": 0.0,
        "sizes": SIZES,
    }
    return usual | asked


def blank(bench: Bench) -> BlankSamples:
    before, after = bench.processing.text.prompt_ids(PROMPT)
    answer = bench.processing.text.answer_ids(ANSWER)
    text = TextTokens(len(before), len(after), len(answer))
    return BlankSamples(bench.processing.geometry, text, BUDGET)


def trace(bench: Bench, asked: dict[str, Any], prompts: int = 0, new_tokens: int = 8) -> Traced:
    config, family = open_config(bench.model)
    tracer = Tracer(
        Architecture(config, family),
        asked["precision"],
        LoraConfig(rank=asked["rank"], targets=asked["targets"], dropout=asked["dropout"]),
        TrainConfig(checkpointing=asked["checkpointing"]),
        "cpu",
    )
    shapes = blank(bench)
    samples = [shapes.sample(*size) for size in asked["sizes"]]
    asking = [shapes.sample(*size, with_answer=False) for size in SIZES[:prompts]]
    return tracer.trace(samples, asking, new_tokens)


def encoded(bench: Bench, sizes: list[tuple[int, int]], answer: str | None) -> list[Sample]:
    encoder = bench.processing.encoder(BUDGET)
    return [encoder.encode(photo(size), PROMPT, answer) for size in sizes]


@pytest.mark.parametrize("setup", SETUPS)
def test_a_traced_step_peaks_where_the_real_one_does(bench: Bench, setup: str) -> None:
    asked = settings(SETUPS[setup])
    device = CpuDevice(2**33, 2**33)
    samples = encoded(bench, asked["sizes"], ANSWER)
    steps = [[bench.micro_batch(samples) for _ in range(2)] for _ in range(2)]
    with device.session():
        trainable = bench.trainable(
            precision=asked["precision"],
            targets=asked["targets"],
            device=device,
            lora=LoraConfig(rank=asked["rank"], targets=asked["targets"], dropout=asked["dropout"]),
            checkpointing=asked["checkpointing"],
        )
        for micro_batches in steps:
            device.reset_peak()
            step(trainable, micro_batches)
        measured = device.peak_bytes()
    traced = trace(bench, asked)
    assert traced.peak_bytes == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("prompts", [1, 4])
@pytest.mark.parametrize("new_tokens", [1, 40])
@pytest.mark.parametrize("precision", [FP32, BF16], ids=["fp32", "bf16"])
def test_traced_generation_peaks_where_the_real_one_does(
    bench: Bench, prompts: int, new_tokens: int, precision: Precision
) -> None:
    device = CpuDevice(2**33, 2**33)
    with device.session():
        trainable = bench.trainable(precision=precision, device=device)
        for _ in range(2):
            step(trainable, [bench.micro_batch(encoded(bench, SIZES[:1], ANSWER))])
        reader = SignReader(
            trainable.base,
            bench.processing,
            device,
            max_pixels=BUDGET,
            max_new_tokens=new_tokens,
        )
        asking = encoded(bench, SIZES[:prompts], None)
        device.reset_peak()
        reader.generate(asking, full_length=True)
        measured = device.peak_bytes()
    traced = trace(bench, settings({"precision": precision}), prompts, new_tokens)
    assert traced.by_phase["generation"] == pytest.approx(measured, rel=TOLERANCE)
