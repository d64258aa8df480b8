"""Out of memory is told from every other failure by what libraries really say."""

import weakref
from typing import Any

import pytest
import torch

from core.hardware.live_bytes import LiveBytes
from core.hardware.out_of_memory import OutOfMemory, attempt, is_out_of_memory

ALLOCATOR = (
    "CUDA out of memory. Tried to allocate 546.00 MiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 514.19 MiB is free. Process 562167 has 15.25 GiB memory in use."
)
ASYNCHRONOUS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)
HOST = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(ALLOCATOR),
        torch.cuda.OutOfMemoryError(ALLOCATOR),
        torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory."),
        RuntimeError(ALLOCATOR),
        torch.AcceleratorError("CUDA error: out of memory" + ASYNCHRONOUS, 2),
        RuntimeError("CUDA error: out of memory" + ASYNCHRONOUS),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
        ),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasLtCreate(&handle)`"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError(HOST),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you "
            "tried to allocate 31850496000 bytes."
        ),
    ],
    ids=lambda error: f"{type(error).__name__}: {str(error)[:70]}",
)
def test_running_out_of_memory_is_known_by_type_or_words(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered" + ASYNCHRONOUS),
        RuntimeError("CUDA error: device-side assert triggered" + ASYNCHRONOUS),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(...)`"),
        RuntimeError(
            "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed "
            "in a non-contiguous input."
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x64 and 32x64)"),
        RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed."),
        RuntimeError("Pin memory thread exited unexpectedly"),
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ValueError("CUDA out of memory"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: f"{type(error).__name__}: {str(error)[:70]}",
)
def test_other_failures_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_the_hosts_own_allocator_is_understood() -> None:
    assert attempt(lambda: torch.empty(10**15)) == OutOfMemory(HOST)


def test_what_works_is_handed_on_and_other_failures_are_raised() -> None:
    assert attempt(lambda: 7) == 7
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        attempt(lambda: torch.ones(2, 3) @ torch.ones(2, 3))


def test_nothing_of_a_failed_attempt_stays_alive() -> None:
    live = LiveBytes(limit_bytes=200_000)
    seen: list[weakref.ref[Any]] = []

    def work() -> None:
        held = torch.ones(20_000, requires_grad=True)
        cycle = [held * 2]
        cycle.append(cycle)  # type: ignore[arg-type]
        seen.append(weakref.ref(held))
        torch.zeros(50_000)

    with live:
        failed = attempt(work)
        assert isinstance(failed, OutOfMemory)
        assert "over the limit of 200000" in failed.words
        assert live.used_bytes == 0
    assert seen[0]() is None
