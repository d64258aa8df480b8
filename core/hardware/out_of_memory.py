"""Out of memory told apart from every other failure, and nothing kept of what was tried."""

import gc
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from core.errors import first_line

T = TypeVar("T")

# A cuBLAS handle that finds no memory for itself says that it was not initialised.
_SAID = re.compile(
    r"CUDA out of memory"
    r"|CUDA (driver )?error: out of memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling `?cublas(Lt)?Create"
    r"|CUDNN_STATUS_(ALLOC_FAILED|INTERNAL_ERROR_(HOST|DEVICE)_ALLOCATION_FAILED)"
    r"|DefaultCPUAllocator: (can't allocate|not enough) memory"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no memory left, however torch, cuBLAS, cuDNN or the driver say it.

    torch's own allocator has a type for it; the libraries below it raise a RuntimeError (or its
    subclass AcceleratorError) that only its words tell from others.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


@dataclass(frozen=True)
class OutOfMemory:
    """That something did not fit, in the device's own words."""

    words: str


def attempt(work: Callable[[], T]) -> T | OutOfMemory:
    """What ``work`` returns, or that it ran out of memory; anything else is raised.

    On return nothing of a failed attempt is alive: its traceback, which pins every tensor of the
    frames it went through (pytorch#18853), is gone with the ``except`` block, and so are cycles.
    """
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        failed = OutOfMemory(first_line(error))
    gc.collect()
    return failed
