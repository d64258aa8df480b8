"""Loss and gradients of our step against the stock model's, for every family."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import ANSWERS, Bench, Learned, assert_same, learn

from core.config import Targets
from core.data.samples import Sample
from core.hardware.device import CpuDevice
from core.model.families import FAMILIES
from core.train.setup import Precision

CASES: dict[str, dict[str, Any]] = {
    "single": {"count": 1},
    "padded": {"multiple": 256},
    "packed": {},
    "checkpointed": {"checkpointing": "all"},
    "every second layer checkpointed": {"checkpointing": 2},
    "accumulated twice": {"parts": 2},
    "accumulated four times": {"parts": 4},
    "cached": {"cached": [0, 1, 2, 3]},
    "partly cached": {"cached": [1, 3]},
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def bench(request: pytest.FixtureRequest, tiny_families: dict[str, Path]) -> Bench:
    return Bench.of(tiny_families[request.param])


@pytest.fixture(scope="module")
def stock(bench: Bench) -> dict[int, Learned]:
    """The stock model's loss and gradients by number of samples."""
    return {n: bench.stock_gradients(bench.stock(), bench.samples(n)) for n in (1, len(ANSWERS))}


def with_features(bench: Bench, samples: list[Sample], chosen: list[int]) -> list[Sample]:
    """The chosen samples as the loader makes them where features are cached."""
    forward = bench.trainable().step_forward
    made = []
    for index, sample in enumerate(samples):
        if index not in chosen:
            made.append(sample)
            continue
        features = forward.image_features(bench.micro_batch([sample]).batch)
        values = CpuDevice(2**33, 2**33).to_host(features)()
        made.append(replace(sample, features=values, patches=np.zeros((0, 0), np.uint8)))
    return made


@pytest.mark.parametrize("case", CASES)
def test_the_step_is_the_stock_models(bench: Bench, stock: dict[int, Learned], case: str) -> None:
    asked = {"count": len(ANSWERS), "parts": 1, "multiple": 8, "cached": []} | CASES[case]
    samples = with_features(bench, bench.samples(asked["count"]), asked["cached"])
    size = len(samples) // asked["parts"]
    micro_batches = [
        bench.micro_batch(samples[start : start + size], asked["multiple"])
        for start in range(0, len(samples), size)
    ]
    trainable = bench.trainable(checkpointing=asked.get("checkpointing", "none"))
    assert_same(learn(trainable, micro_batches), stock[asked["count"]])


@pytest.mark.parametrize("targets", ["attention", "language+merger", "all"])
@pytest.mark.parametrize("checkpointing", ["none", "all"])
def test_other_targets_are_the_stock_models_too(
    bench: Bench, targets: Targets, checkpointing: str
) -> None:
    samples = bench.samples()
    expected = bench.stock_gradients(bench.stock(targets), samples)
    trainable = bench.trainable(targets=targets, checkpointing=checkpointing)
    assert_same(learn(trainable, [bench.micro_batch(samples)]), expected)


def test_four_bit_weights_are_those_of_peft_and_bitsandbytes(bench: Bench) -> None:
    """The kernels are the same, but their products of other row counts round otherwise: 1e-4."""
    samples = bench.samples()
    expected = bench.stock_gradients(bench.stock(nf4=True), samples)
    trainable = bench.trainable(precision=Precision("nf4", "fp32"))
    quantized = {
        name.split(".base_layer")[0]
        for name, value in trainable.model.named_parameters()
        if value.dtype == torch.uint8
    }
    assert quantized
    assert all(".language_model.layers." in name for name in quantized)
    assert_same(learn(trainable, [bench.micro_batch(samples)]), expected, tolerance=1e-4)


def test_no_sample_of_a_row_sees_another(bench: Bench) -> None:
    """Changing one sample's photo and text leaves the others' states as they were, to the bit."""
    forward = bench.trainable().step_forward
    samples = bench.samples()

    def states(changed: int | None) -> list[torch.Tensor]:
        given = list(samples)
        if changed is not None:
            sample = samples[changed]
            ids = sample.token_ids.copy()
            ids[-sample.label_tokens :] = ids[-sample.label_tokens]
            given[changed] = replace(sample, patches=255 - sample.patches, token_ids=ids)
        batch = bench.micro_batch(given).batch
        with torch.no_grad():
            hidden = forward._language(batch, forward.image_features(batch))[0]
        return list(hidden.split(batch.lengths))

    before = states(None)
    for changed in range(len(samples)):
        after = states(changed)
        for index in range(len(samples)):
            same = torch.equal(before[index], after[index])
            assert same == (index != changed)
