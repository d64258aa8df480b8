"""The device that trains: CUDA and CPU behind one protocol, with one idea of memory."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import DeviceConfig
from core.errors import UsageError
from core.hardware.live_bytes import LiveBytes
from core.profile import GIB, Profile


class Mark(Protocol):
    """A moment on the device's own time line."""

    def ms_since(self, earlier: "Mark") -> float:
        """Milliseconds from ``earlier`` to here; waits until the device got here."""


class Device(Protocol):
    """What training needs of a device. Sizes are bytes."""

    torch_device: torch.device
    name: str
    capacity_bytes: int
    limit_bytes: int

    def session(self) -> contextlib.AbstractContextManager[None]:
        """Work on the device happens inside; memory is counted and limited there."""

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """Makes known tensors that came to the device outside of its own operations."""

    def used_bytes(self) -> int:
        """Bytes taken now."""

    def peak_bytes(self) -> int:
        """Most bytes taken since the last ``reset_peak``."""

    def reset_peak(self) -> None:
        """Starts a new peak."""

    def mark(self) -> Mark:
        """A mark on the device's time line, without waiting for it."""

    def to_host(self, tensor: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Begins to copy a tensor (rows, values); the bytes (rows, bytes) are there when asked."""


class _CpuMark:
    def __init__(self) -> None:
        self._at = time.perf_counter()

    def ms_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _CpuMark)
        return (self._at - earlier._at) * 1000


class CpuDevice:
    """The CPU with the memory of a small card: live tensor bytes are counted and limited."""

    def __init__(self, capacity_bytes: int, limit_bytes: int) -> None:
        self.torch_device = torch.device("cpu")
        self.name = "CPU"
        self.capacity_bytes = capacity_bytes
        self.limit_bytes = limit_bytes
        self._live = LiveBytes(self.limit_bytes)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        with self._live:
            yield

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        self._live.count(tensors)

    def used_bytes(self) -> int:
        return self._live.used_bytes

    def peak_bytes(self) -> int:
        return self._live.peak_bytes

    def reset_peak(self) -> None:
        self._live.peak_bytes = self._live.used_bytes

    def mark(self) -> Mark:
        return _CpuMark()

    def to_host(self, tensor: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        copied = tensor.detach().contiguous().view(torch.uint8).numpy().copy()
        return lambda: copied


class _CudaMark:
    def __init__(self) -> None:
        self._event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._event.record()

    def ms_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _CudaMark)
        self._event.synchronize()
        return float(earlier._event.elapsed_time(self._event))


class CudaDevice:
    """One CUDA card; a capacity below the card's own is held by the allocator."""

    def __init__(self, capacity_bytes: int, limit_bytes: int) -> None:
        self.torch_device = torch.device("cuda", torch.cuda.current_device())
        self.name = torch.cuda.get_device_name(self.torch_device)
        free, total = torch.cuda.mem_get_info(self.torch_device)
        self.capacity_bytes = min(capacity_bytes, total)
        headroom = capacity_bytes - limit_bytes
        self.limit_bytes = min(self.capacity_bytes, free) - headroom
        if self.limit_bytes <= 0:
            raise UsageError(
                f"{self.name}: only {free / GIB:.1f} GiB are free; `kocr-tui doctor` lists who is "
                "on the card"
            )
        torch.cuda.set_per_process_memory_fraction(self.limit_bytes / total, self.torch_device)

    def session(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """The allocator counts by itself."""

    def used_bytes(self) -> int:
        return torch.cuda.memory_allocated(self.torch_device)

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_reserved(self.torch_device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def mark(self) -> Mark:
        return _CudaMark()

    def to_host(self, tensor: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        given = tensor.detach().contiguous().view(torch.uint8)
        copied = torch.empty(given.shape, dtype=torch.uint8, pin_memory=True)
        copied.copy_(given, non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record()

        def fetch() -> NDArray[np.uint8]:
            there.synchronize()
            values: NDArray[np.uint8] = copied.numpy()
            return values

        return fetch


def require_device(profile: Profile) -> None:
    """Raises UsageError if the profile is for a card and torch finds none; touches no memory."""
    if profile.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"profile {profile.name}: torch finds no CUDA card; `kocr-tui doctor` says why, "
            "or choose --profile cpu"
        )


def open_device(config: DeviceConfig, profile: Profile) -> Device:
    """The device of a profile with the capacity that the config allows; see require_device."""
    require_device(profile)
    capacity = profile.capacity_bytes(config.capacity_gib)
    limit = profile.limit_bytes(config.capacity_gib)
    if profile.device == "cpu":
        return CpuDevice(capacity, limit)
    return CudaDevice(capacity, limit)
