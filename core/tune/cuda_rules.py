"""Fake tensors live on the CPU; here is what a card does otherwise, as far as memory tells."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.nn.functional import layer_norm
from torch.overrides import TorchFunctionMode

from core.model import attention


class _CudaAutocast(TorchFunctionMode):
    """CUDA's autocast works layer norms out in fp32, the CPU's leaves them in half precision.

    Of all operations whose rule differs (torch's autocast op reference) the models use this one.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is layer_norm and torch.is_autocast_enabled("cpu"):
            args = tuple(_single(value) for value in args)
            kwargs = {name: _single(value) for name, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) else value


@contextmanager
def cuda_rules(kernels: Literal["sdpa", "varlen"]) -> Iterator[None]:
    """Attention by a card's kernels, and CUDA's rules of autocast, for fake tensors inside."""
    with attention.traced(varlen=kernels == "varlen"), _CudaAutocast():
        yield
