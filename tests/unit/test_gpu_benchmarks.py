"""What the benchmarks for a card do that needs none: their rows, figures, and how they measure."""

from pathlib import Path

import gpu_peaks
import pytest
import torch
from gpu_peaks import Measured, Peaks, quantize
from gpu_tune_cases import (
    LIMITS,
    SHAPES,
    TEXT,
    Setup,
    accuracy,
    case_of,
    limit_for,
    predict,
    search,
    search_figures,
    setups,
)
from training import Bench
from transformers import AutoModelForImageTextToText

from core.config import LoraConfig, TrainConfig
from core.hardware.device import CpuDevice
from core.model.families import FAMILIES
from core.model.load import load_model, make_ready, open_config, weight_tensors
from core.train.self_tests import FastPaths
from core.train.setup import Precision
from core.tune.fake_model import Architecture
from core.tune.plan import Kernels, Tracer
from core.tune.search import Bounds, Point
from core.tune.space import Candidate

SMALL = Setup("Qwen2-VL-2B", "bf16", 4, "all", 2, 36, 3)


@pytest.fixture(params=list(FAMILIES))
def bench(request: pytest.FixtureRequest, tiny_families: dict[str, Path]) -> Bench:
    return Bench.of(tiny_families[request.param])


def traced(bench: Bench, setup: Setup, kernels: Kernels) -> dict[str, int]:
    config, family = open_config(bench.model)
    case = setup.case(family)
    tracer = Tracer(
        Architecture(config, family),
        Precision(setup.weights, "bf16"),
        LoraConfig(rank=setup.rank, targets=setup.targets),
        TrainConfig(checkpointing=setup.checkpointing),
        kernels,
    )
    samples = case.micro_batch(setup.image_tokens, case.row_tokens)
    prompts = case.prompts(setup.image_tokens, setup.prompts)
    return tracer.trace(samples, prompts, case.new_tokens).by_phase


def test_forty_setups_cover_families_formats_ranks_targets_and_checkpointing() -> None:
    rows = setups()
    assert len(set(rows)) == len(rows) >= 40
    assert {row.preset.split("-VL")[0] for row in rows} == {"Qwen2", "Qwen2.5", "Qwen3"}
    assert {row.weights for row in rows} == {"bf16", "nf4"}
    assert len({row.rank for row in rows}) >= 3
    assert {row.targets for row in rows} == {"attention", "language", "language+merger", "all"}
    assert {"none", "all", 4} == {row.checkpointing for row in rows}


@pytest.mark.parametrize("setup", setups()[: len(SHAPES)], ids=str)
def test_a_row_holds_just_its_photos_at_their_image_tokens(setup: Setup) -> None:
    case = setup.case(FAMILIES["qwen2_vl"])
    samples = case.micro_batch(setup.image_tokens, case.row_tokens)
    assert [sample.image_tokens for sample in samples] == [setup.image_tokens] * setup.photos
    assert len(samples[0]) == setup.image_tokens + TEXT.total


@pytest.mark.parametrize("targets", ["language", "all"])
def test_recomputing_can_be_predicted_by_a_cards_rules(
    tiny_families: dict[str, Path], targets: str
) -> None:
    bench = Bench.of(tiny_families["qwen2_vl"])
    setup = Setup("Qwen2-VL-2B", "bf16", 8, targets, "all", 36, 1)
    assert all(size > 0 for size in traced(bench, setup, "varlen").values())


def test_a_full_size_model_is_predicted_without_weights() -> None:
    phases = predict(setups()[0], "varlen")
    assert {"vision", "forward", "backward", "optimizer", "generation"} <= set(phases)
    # 2,208,985,600 frozen weights of two bytes are there all the time.
    assert 4.1 < max(phases.values()) / 2**30 < 8


@pytest.mark.parametrize("weights", ["bf16", "nf4"])
def test_what_is_measured_is_what_was_predicted_time_after_time(
    bench: Bench, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_peaks, "nvml_bytes", lambda: 0)
    setup = Setup("Qwen2-VL-2B", weights, 4, "language", "none", 36, 3)
    base = load_model(bench.model, bench.family, weights, "bf16")
    phases = traced(bench, setup, "cpu")
    generation = phases.pop("generation")
    case = setup.case(bench.family)
    for _ in range(2):
        measured = Measured(base, bench.family, CpuDevice(2**33, 2**33), FastPaths())
        found = measured.peaks(
            setup.candidate, case, setup.image_tokens, case.row_tokens, setup.prompts
        )
        assert isinstance(found, Peaks)
        assert found.training == pytest.approx(max(phases.values()), rel=0.01)
        assert found.generation == pytest.approx(generation, rel=0.01)


def test_packed_weights_are_those_that_loading_makes(bench: Bench) -> None:
    loaded = load_model(bench.model, bench.family, "nf4", "bf16")
    config, family = open_config(bench.model)
    made = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    quantize(made)
    sizes = [
        sorted((tuple(value.shape), str(value.dtype)) for value in weight_tensors(model))
        for model in (loaded, make_ready(made, family))
    ]
    assert sizes[0] == sizes[1]


def test_out_of_memory_is_told_and_leaves_the_base_as_it_was(bench: Bench) -> None:
    base = load_model(bench.model, bench.family, "bf16", "bf16")
    measured = Measured(base, bench.family, CpuDevice(2**33, 2**21), FastPaths())
    case = SMALL.case(bench.family)
    found = measured.peaks(SMALL.candidate, case, SMALL.image_tokens, case.row_tokens)
    assert not isinstance(found, Peaks)
    assert not any("lora" in name for name, _value in base.named_parameters())


def test_accuracy_is_of_rows_that_were_predicted_and_measured() -> None:
    rows = [
        {"predicted": 99, "allocated": 100, "reserved": 110, "nvml": 150},
        {"predicted": 206, "allocated": 200, "reserved": 210, "nvml": 260},
        {"predicted": 5},
        {"allocated": 5, "reserved": 5, "nvml": 5},
    ]
    found = accuracy(rows)
    assert found["rows"] == 2
    assert found["mape"] == pytest.approx(0.02)
    assert found["worst"] == pytest.approx(0.03)
    assert found["reserved"] == pytest.approx(1.1)
    assert found["outside"] == 50
    assert accuracy(rows[2:]) == {"rows": 0}


def test_the_limit_is_the_smallest_card_that_a_prediction_fits() -> None:
    small, middle, large = sorted(LIMITS.values())
    assert limit_for(small // 2) == small
    assert limit_for(small) == middle
    assert limit_for(large * 2) == limit_for(None) == large


def test_the_search_is_held_against_larger_budgets_up_to_the_first_that_fails() -> None:
    def real(tokens: int) -> int:
        return 1000 + 1020 * tokens

    limit, bounds = real(1037), Bounds(4, 16_000)
    trials, beyond = search(
        lambda tokens: 1000 + 1000 * tokens,
        lambda tokens: real(tokens) if real(tokens) <= limit else None,
        [Point(16_000, 16_001_000), Point(4, 5000)],
        bounds,
        limit,
    )
    figures = search_figures(trials, beyond)
    assert figures["probes"] == len(trials) <= 4
    assert figures["bounded"]
    assert not beyond[-1].fits
    assert 0.95 * 1037 <= figures["chosen"] <= figures["largest"] <= 1037


def test_a_searched_row_has_one_photo() -> None:
    case = case_of(FAMILIES["qwen2_vl"], (4032, 3024), None)
    assert len(case.micro_batch(2000, case.row_tokens)) == 1
    assert Candidate("bf16", 16, "language", "none") == setups()[1].candidate
