"""A card that works is no trouble, and a process that CUDA has given up is told apart."""

import json
import subprocess
import sys

import pytest
import torch

from core.hardware.nvml import visible_cards
from core.train.cards import trial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")
WATCHED = """
import json
import torch
from core.errors import GpuLostError
from core.hardware.nvml import visible_cards
from core.train.cards.watch import CardWatch
told, why = [], ""
try:
    with CardWatch(visible_cards()[:1], lambda trouble: told.append(trouble.what), print) as watch:
        one = torch.ones(2048, 2048, device="cuda")
        for _ in range(200):
            one = (one @ one).clamp(max=1)
        torch.cuda.synchronize()
        watch.confirm()
        {work}
except (GpuLostError, RuntimeError) as error:
    why = f"{{type(error).__name__}}: {{error}}"
print(json.dumps([told, why]))
"""


def watched(work: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(work=work)],
        capture_output=True,
        text=True,
        check=False,
    )
    told, why = json.loads(done.stdout.splitlines()[-1])
    return told, why


def test_a_card_that_works_passes_its_check() -> None:
    assert trial.main(["cuda", "1"]) == 0


def test_a_card_that_works_is_no_trouble() -> None:
    told, why = watched("pass")
    assert why == ""
    # A warm or shared card may throttle or tell of another's error, which end nothing.
    assert "lost" not in told


def test_a_failed_kernel_ends_the_process_and_names_the_card() -> None:
    told, why = watched(
        "torch.ones(1, device='cuda')[torch.tensor([5], device='cuda')].sum().item()"
    )
    assert why.startswith(f"GpuLostError: {visible_cards()[0].name}")
    assert "device-side assert" in why
    assert "lost" not in told


def test_an_error_that_cuda_survives_is_an_ordinary_one() -> None:
    told, why = watched("raise RuntimeError('CUDA error: invalid argument')")
    assert why == "RuntimeError: CUDA error: invalid argument"
    assert "lost" not in told
