"""The fast paths of the training step on a CUDA card."""

import warnings
from pathlib import Path

import pytest
import torch
from training import Bench, learn, step

from core.config import DeviceConfig
from core.hardware.device import Device, open_device
from core.model import attention
from core.model.families import FAMILIES
from core.profile import load_profile
from core.train.self_tests import try_fast_paths
from core.train.setup import Precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")
HALF = Precision("bf16", "bf16")


@pytest.fixture
def device() -> Device:
    return open_device(DeviceConfig(capacity_gib=4.0), load_profile("auto"))


def test_every_fast_path_passes_its_trial(device: Device) -> None:
    assert try_fast_paths(device, nf4=True).fallbacks == ()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_varlen_attention_learns_what_sdpa_does(
    device: Device, tiny_families: dict[str, Path], model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 on two kernels: gradients agree to three hundredths by their norm."""
    bench = Bench.of(tiny_families[model_type])
    micro = bench.micro_batch(bench.samples())
    fast = learn(bench.trainable(precision=HALF, device=device), [micro])
    monkeypatch.setattr(attention, "can_use_varlen", lambda _query: False)
    plain = learn(bench.trainable(precision=HALF, device=device), [micro])
    assert fast.loss == pytest.approx(plain.loss, rel=1e-2)
    for name, expected in plain.gradients.items():
        assert (fast.gradients[name] - expected).norm() <= 0.03 * expected.norm(), name


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("weights", ["bf16", "nf4"])
def test_no_step_waits_for_the_card(
    device: Device, tiny_families: dict[str, Path], model_type: str, weights: str
) -> None:
    bench = Bench.of(tiny_families[model_type])
    trainable = bench.trainable(precision=Precision(weights, "bf16"), device=device)
    step(trainable, [bench.micro_batch(bench.samples())])
    pinned = [bench.micro_batch(bench.samples()).pin_memory() for _ in range(2)]
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        outcome = step(trainable, pinned)
        torch.cuda.set_sync_debug_mode("default")
    waits = [str(one.message) for one in said if "synchroniz" in str(one.message)]
    assert waits == []
    assert outcome.loss.item() > 0
