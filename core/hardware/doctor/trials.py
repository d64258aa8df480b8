"""The torch build against the driver, and a few numbers on the card in child processes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from core.hardware.doctor.finding import Finding, State, gib, text
from core.hardware.nvml import Card
from core.profile import BF16_CAPABILITY, GIB

TRIAL_FREE_GIB = 1
TRIAL_LIMIT_S = 90
MATMUL = """
import torch
left = torch.eye(64, dtype=torch.{dtype}, device="{device}")
assert torch.equal(left @ left, left), "a matrix product came out wrong"
"""
NF4 = """
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
weight = torch.linspace(-1, 1, 4096, dtype=torch.{dtype}, device="{device}").reshape(64, 64)
packed, state = quantize_4bit(weight, quant_type="nf4")
worst = (dequantize_4bit(packed, state) - weight).abs().max().item()
assert worst < 0.2, f"NF4 is off by {{worst}}"
"""
VARLEN = """
import torch
from torch.nn.attention.varlen import varlen_attn
rows = torch.randn(8, 2, 64, dtype=torch.{dtype}, device="{device}", requires_grad=True)
bounds = torch.tensor([0, 3, 8], dtype=torch.int32, device="{device}")
varlen_attn(rows, rows, rows, bounds, bounds, 5, 5).sum().backward()
assert rows.grad.isfinite().all().item(), "the gradient is not finite"
"""


def torch_build(card: Card | None) -> Finding:
    """The build without importing torch: its version file names the CUDA it was built for."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return Finding("torch build", "failure", "torch is not installed", "pip install torch")
    version = text(Path(spec.origin).parent / "version.py")
    match = re.search(r"^cuda\b[^=\n]*=\s*'([\d.]+)'", version, re.MULTILINE)
    if match is None:
        if card is None:
            return Finding("torch build", "ok", "for the CPU")
        detail = f"torch was built for the CPU and cannot use the {card.name}"
        return Finding("torch build", "failure", detail, "pip install --force-reinstall torch")
    built = match[1]
    driver = card.cuda_version if card else None
    if driver and int(driver.split(".")[0]) < int(built.split(".")[0]):
        detail = f"for CUDA {built}, but the driver runs CUDA {driver} at most"
        return Finding("torch build", "failure", detail, "update the NVIDIA driver")
    return Finding("torch build", "ok", f"for CUDA {built}")


def trials(card: Card | None, build: Finding) -> Iterator[Finding]:
    """A matrix product, 4-bit weights and varlen attention, or why they were not tried."""
    if card is None:
        yield Finding("GPU trials", "warning", "no GPU: dtypes, NF4 and varlen were not tried")
        return
    if build.state == "failure":
        yield Finding("GPU trials", "warning", f"not tried: {build.detail}", build.fix)
        return
    if card.free_bytes is not None and card.free_bytes < TRIAL_FREE_GIB * GIB:
        detail = f"not tried: only {gib(card.free_bytes)} free on the card"
        yield Finding("GPU trials", "warning", detail, "nvidia-smi")
        return
    new = (card.compute_capability or (0, 0)) >= BF16_CAPABILITY
    dtype = "bfloat16" if new else "float16"
    yield trial(f"{dtype} on the card", MATMUL, dtype, "failure", card.uuid)
    yield trial("NF4 weights", NF4, dtype, "warning", card.uuid)
    if new:
        yield trial("varlen attention", VARLEN, dtype, "warning", card.uuid)
        return
    lacking = "needs compute capability 8.0;"
    yield Finding("bfloat16", "info", f"{lacking} float16 with loss scaling is used instead")
    yield Finding("varlen attention", "info", f"{lacking} masked attention is used instead")


def trial(
    check: str, code: str, dtype: str, worst: State, uuid: str | None, device: str = "cuda"
) -> Finding:
    """Runs ``code`` in a child, since a broken CUDA set-up can hang or crash a process."""
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": uuid} if uuid else {})
    command = [sys.executable, "-P", "-c", code.format(dtype=dtype, device=device)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"no answer within {TRIAL_LIMIT_S} s"
        return Finding(check, worst, detail, "nvidia-smi")
    if done.returncode == 0:
        return Finding(check, "ok", "works")
    raised = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", done.stderr, re.MULTILINE)
    detail = raised[-1] if raised else f"the trial ended with code {done.returncode}"
    return Finding(check, worst, detail, f"{sys.executable} -m torch.utils.collect_env")
