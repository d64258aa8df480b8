"""Fake tensors live on the CPU; here is what a card does otherwise, as far as memory tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.nn import functional

from core.model import attention


@contextmanager
def cuda_rules(kernels: Literal["sdpa", "varlen"]) -> Iterator[None]:
    """Attention by a card's kernels, and CUDA's rules of autocast, for fake tensors inside.

    CUDA's autocast works layer norms out in fp32, the CPU's leaves them in half precision; of all
    operations whose rule differs (torch's autocast op reference) the models use this one. A torch
    function mode would miss those that are recomputed: it's off while a backward pass runs.
    """
    stock = functional.layer_norm

    def layer_norm(*args: Any, **kwargs: Any) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            args = tuple(_single(value) for value in args)
            kwargs = {name: _single(value) for name, value in kwargs.items()}
        return stock(*args, **kwargs)

    functional.layer_norm = layer_norm
    try:
        with attention.traced(varlen=kernels == "varlen"):
            yield
    finally:
        functional.layer_norm = stock


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) else value
