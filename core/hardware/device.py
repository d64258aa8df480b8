"""The device that trains: CUDA and CPU behind one protocol, with one idea of memory."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import _disable_current_modes

from core.config import DeviceConfig
from core.errors import UsageError
from core.hardware.live_bytes import LiveBytes
from core.profile import GIB, Profile

CPU_TENANTS_VARIABLE = "KOCR_CPU_TENANTS_FILE"


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

    def host_work(self) -> contextlib.AbstractContextManager[None]:
        """Inside a session: what happens in here takes the host's memory, not the device's."""

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """Makes known tensors that came to the device outside of its own operations."""

    def used_bytes(self) -> int:
        """Bytes taken now."""

    def available_bytes(self) -> int:
        """What this process may take now, all that it has included: other processes come and go."""

    def free_cache(self) -> None:
        """Gives back what the allocator holds and nothing uses."""

    def peak_bytes(self) -> int:
        """Most bytes taken since the last ``reset_peak``."""

    def reset_peak(self) -> None:
        """Starts a new peak."""

    def outside_bytes(self) -> int:
        """Bytes that were taken beside torch's allocator since the device was opened."""

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
    """The CPU with the memory of a small card: live tensor bytes are counted and limited.

    A real card has other tenants. Those of this one are what the file named by
    KOCR_CPU_TENANTS_FILE says that they hold (bytes, a little-endian number of 8 bytes; no file:
    none): the limit is lower by as much. It's read with every mark, count and new peak, several
    times a step, so that allocations stay as cheap as they are.
    """

    def __init__(self, capacity_bytes: int, limit_bytes: int) -> None:
        self.torch_device = torch.device("cpu")
        self.name = "CPU"
        self.capacity_bytes = capacity_bytes
        self.limit_bytes = limit_bytes
        tenants = os.environ.get(CPU_TENANTS_VARIABLE)
        self._tenants = Path(tenants) if tenants else None
        self._live = LiveBytes(self.limit_bytes)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        with self._live:
            yield

    @contextlib.contextmanager
    def host_work(self) -> Iterator[None]:
        with _disable_current_modes():
            yield

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        self._heed_tenants()
        self._live.count(tensors)

    def used_bytes(self) -> int:
        return self._live.used_bytes

    def available_bytes(self) -> int:
        if self._tenants is None:
            return self.limit_bytes
        with contextlib.suppress(FileNotFoundError):
            return max(0, self.limit_bytes - int.from_bytes(self._tenants.read_bytes(), "little"))
        return self.limit_bytes

    def free_cache(self) -> None:
        """Live bytes are all there is."""

    def peak_bytes(self) -> int:
        return self._live.peak_bytes

    def reset_peak(self) -> None:
        self._heed_tenants()
        self._live.peak_bytes = self._live.used_bytes

    def outside_bytes(self) -> int:
        return 0

    def mark(self) -> Mark:
        self._heed_tenants()
        return _CpuMark()

    def _heed_tenants(self) -> None:
        self._live.limit_bytes = self.available_bytes()

    def to_host(self, tensor: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        copied = tensor.detach().contiguous().view(torch.uint8).numpy().copy()
        return lambda: copied


class _CudaMark:
    def __init__(self) -> None:
        self._event = torch.cuda.Event(enable_timing=True)
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
        self._others_bytes = total - free
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

    def host_work(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """The allocator counts by itself."""

    def used_bytes(self) -> int:
        return torch.cuda.memory_allocated(self.torch_device)

    def available_bytes(self) -> int:
        free, _total = torch.cuda.mem_get_info(self.torch_device)
        return min(self.limit_bytes, free + torch.cuda.memory_reserved(self.torch_device))

    def free_cache(self) -> None:
        torch.cuda.empty_cache()

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_reserved(self.torch_device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def outside_bytes(self) -> int:
        free, total = torch.cuda.mem_get_info(self.torch_device)
        reserved = torch.cuda.memory_reserved(self.torch_device)
        return max(0, total - free - reserved - self._others_bytes)

    def mark(self) -> Mark:
        return _CudaMark()

    def to_host(self, tensor: torch.Tensor) -> Callable[[], NDArray[np.uint8]]:
        given = tensor.detach().contiguous().view(torch.uint8)
        copied = torch.empty(given.shape, dtype=torch.uint8, pin_memory=True)
        copied.copy_(given, non_blocking=True)
        there = torch.cuda.Event()
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
