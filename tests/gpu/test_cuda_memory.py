"""Another process takes a CUDA card's memory between two steps."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from learners import Signs, remedies, setup_of

from core.config import DeviceConfig
from core.hardware.device import open_device
from core.profile import load_profile
from core.train import recovery
from core.train.crew import Crew
from core.train.learner import Learner
from core.train.recovery import NoMemoryError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")
MIB = 2**20
BASE = Path(__file__).parents[2] / "core" / "demo" / "base"
TENANT = """
import sys, torch
held = []
while (more := torch.cuda.mem_get_info()[0] - int(sys.argv[1])) > 0:
    try:
        held.append(torch.empty(max(2 * 2**20, more // 2), dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        break
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def tenant(left: int) -> Iterator[None]:
    """A process that holds all of the card but ``left`` bytes, about, until it's told to leave."""
    command = [sys.executable, "-c", TENANT, str(left)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


@pytest.fixture
def signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signs:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    return Signs(tmp_path, BASE)


def test_a_step_that_finds_another_process_on_the_card_is_halved_and_training_goes_on(
    signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "WAITS_SECONDS", (0.01,))
    device = open_device(DeviceConfig(capacity_gib=4.0), load_profile("auto"))
    job = signs.job(batch=24, epochs=3, feature_cache_gib=0.0)
    learner = Learner(job, setup_of(job, 4096), device, Crew(0, 1))
    learner.rehearse(0)
    learner.learn(0, next(learner.steps_from(0)))
    held = device.used_bytes()
    device.free_cache()
    # What is left in the allocator's own pieces may do for one sample, so both ends are right.
    with tenant(2 * MIB), suppress(NoMemoryError):
        learner.learn(1, next(learner.steps_from(1)))
    assert remedies(job.run)[0].remedy == "halve"
    assert device.used_bytes() - held < MIB
    assert learner.learn(2, next(learner.steps_from(2))).loss.isfinite()
