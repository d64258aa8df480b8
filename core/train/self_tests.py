"""Small trials of fast paths before training: one that fails is left, and the reason is told."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.errors import first_line
from core.hardware.device import Device
from core.model import attention
from core.train.optimizer import update

_HALF_TOLERANCE = 2e-2
_NF4_TOLERANCE = 0.2


@dataclass(frozen=True)
class FastPaths:
    """What may be used; ``fallbacks`` has a sentence for everything that may not."""

    fused: bool = True
    nf4: bool = True
    fallbacks: tuple[str, ...] = ()


class _WrongError(Exception):
    """A fast path ran and gave another result than the plain one."""


def try_fast_paths(device: Device, *, nf4: bool) -> FastPaths:
    """Tries what the run would use on the device it would use it on; some milliseconds each."""
    where = device.torch_device
    failed: dict[str, str] = {}
    for name, trial, instead in _trials(where, nf4=nf4):
        try:
            trial(where)
        except Exception as error:
            # Any failure of a fast path, whatever its kind, has a plain path to go instead.
            failed[name] = f"{name}: {first_line(error) or type(error).__name__}; {instead}"
    if "varlen attention" in failed:
        attention.forbid_varlen()
    return FastPaths(
        fused="fused AdamW" not in failed,
        nf4="NF4" not in failed,
        fallbacks=tuple(failed.values()),
    )


def _trials(
    where: torch.device, *, nf4: bool
) -> Iterator[tuple[str, Callable[[torch.device], None], str]]:
    probe = torch.empty(0, dtype=torch.bfloat16, device=where)
    if attention.can_use_varlen(probe):
        yield "varlen attention", _try_varlen, "attention goes sample by sample through SDPA"
    yield "fused AdamW", _try_fused, "AdamW goes without its fused kernel"
    if nf4:
        yield "NF4", _try_nf4, "the weights are kept in the format that is computed in"


def _try_varlen(where: torch.device) -> None:
    """Two segments, grouped heads, forward and backward, against SDPA."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 4, 24, 64), (1, 2, 24, 64), (1, 2, 24, 64))
    tensors = [
        torch.randn(shape, generator=generator).to(where, torch.bfloat16) for shape in shapes
    ]
    ends = torch.tensor([0, 9, 24], dtype=torch.int32, device=where)
    for causal in (True, False):
        fast = partial(attention.varlen, ends=ends, longest=15, scaling=None, causal=causal)
        plain = partial(attention.by_segment, lengths=[9, 15], scaling=None, causal=causal)
        _same(_with_gradients(tensors, fast), _with_gradients(tensors, plain), _HALF_TOLERANCE)


def _with_gradients(
    tensors: list[Tensor], function: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    output = function(*leaves)
    output.float().square().sum().backward()
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def _try_fused(where: torch.device) -> None:
    """Three steps of AdamW with and without its fused kernel, one of them to be left out."""
    results = []
    for fused in (True, False):
        value = torch.linspace(-1, 1, 64, device=where).requires_grad_()
        optimizer = torch.optim.AdamW([value], lr=0.1, fused=fused)
        for shift in (0.5, math.nan, 0.5):
            value.grad = value.detach() + shift
            update(optimizer, value.grad.isfinite().all())
        results.append([value.detach()])
    _same(results[0], results[1], 1e-5)


def _try_nf4(where: torch.device) -> None:
    """A 4-bit layer's output and input gradient against the full layer's."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 128, generator=generator)
    layer = Linear4bit(128, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    layer.weight = Params4bit(weight, requires_grad=False, quant_type="nf4")
    layer = layer.to(where)
    weight = weight.to(where)
    given = torch.randn(4, 128, generator=generator).to(where)
    results = []
    for function in (layer, lambda x: x @ weight.T):
        leaf = given.clone().requires_grad_()
        output = function(leaf)
        output.sum().backward()
        assert leaf.grad is not None
        results.append([output.detach(), leaf.grad])
    _same(results[0], results[1], _NF4_TOLERANCE)


def _same(fast: list[Tensor], plain: list[Tensor], tolerance: float) -> None:
    """Raises if the two differ by more than ``tolerance`` of the plain ones' magnitude."""
    for left, right in zip(fast, plain, strict=True):
        off = float((left - right).float().norm() / right.float().norm())
        if not off <= tolerance:
            raise _WrongError(f"is {off:.1%} off the plain result")
