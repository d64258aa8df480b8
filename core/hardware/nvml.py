"""What NVML says about the cards and who uses them, read without torch."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
import pynvml

_REASONS: dict[int, tuple[str, str]] = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "no NVIDIA driver: libnvidia-ml.so.1 was not found",
        "install the NVIDIA driver, or start the container with --gpus all",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is installed but not loaded",
        "sudo modprobe nvidia (or reboot)",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no permission to talk to the NVIDIA driver",
        "ls -l /dev/nvidia* (your user needs to read and write them)",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver was updated, and the old one is still loaded",
        "sudo reboot",
    ),
}
_LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One card, or one MIG slice, at one moment; None where it does not tell.

    ``used_bytes`` leaves out what the driver reserves, as nvidia-smi does, so used and free
    may not add up to the total. ``cuda_version`` is the newest CUDA that the driver runs.
    ``lost`` means that the driver no longer reaches the card.
    """

    index: int | None = None
    uuid: str | None = None
    name: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    compute_capability: tuple[int, int] | None = None
    display_active: bool | None = None
    lost: bool = False


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a card; ``used_bytes`` is None where the driver hides it (WDDM, containers)."""

    pid: int
    used_bytes: int | None = None
    name: str | None = None


class Monitor:
    """Reads the cards again and again: NVML starts once and shuts down on ``close``.

    Where NVML is not there, ``reason`` says why in one line and ``remedy`` what to do; every
    reading is then empty. No method raises.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.remedy: str | None = None
        # A kept handle answers "lost" where a fresh look-up would answer "not found".
        self._handles: dict[str, Any] = {}
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            unknown = (f"NVML did not start: {error}", "nvidia-smi")
            self.reason, self.remedy = _REASONS.get(error.value, unknown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets NVML go; readings are empty afterwards."""
        if self.reason is None:
            _ask(pynvml.nvmlShutdown)
            self._handles.clear()
            self.reason = "NVML was closed"

    def cards(self) -> list[Card]:
        """Every card that this process may see, in NVML's order (by PCI bus)."""
        if self.reason is not None:
            return []
        found = (_by_index(index) for index in range(_ask(pynvml.nvmlDeviceGetCount) or 0))
        return [card for card in found if card is not None]

    def card(self, uuid: str) -> Card | None:
        """The card or MIG slice of that UUID; None where there is none."""
        handle = self._handle(uuid)
        return None if handle is None else _card(handle, uuid)

    def visible(self) -> list[Card]:
        """The cards that CUDA would show under CUDA_VISIBLE_DEVICES, in its order.

        Follows the CUDA programming guide: indices, or GPU- UUIDs that may be shortened, or
        MIG- UUIDs; the first invalid entry ends the list. A repeated entry leaves nothing.
        Indices count by PCI bus, which CUDA does only with CUDA_DEVICE_ORDER=PCI_BUS_ID.
        """
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        cards = self.cards()
        if chosen is None:
            return cards
        visible: list[Card] = []
        for entry in chosen.split(","):
            card = self._entry(entry.strip(), cards)
            if card is None:
                break
            if card.uuid in {other.uuid for other in visible}:
                return []
            visible.append(card)
        return visible

    def processes(self, uuid: str) -> list[Process]:
        """Who computes or draws on the card of that UUID, the largest first."""
        handle = self._handle(uuid)
        if handle is None:
            return []
        used: dict[int, int | None] = {}
        for lister in (
            pynvml.nvmlDeviceGetComputeRunningProcesses,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for entry in _ask(lister, handle) or ():
                # One that does both is listed twice, with the same memory.
                used[entry.pid] = entry.usedGpuMemory or used.get(entry.pid)
        found = [
            Process(pid=pid, used_bytes=size, name=_ask(pynvml.nvmlSystemGetProcessName, pid))
            for pid, size in used.items()
        ]
        return sorted(found, key=lambda process: -(process.used_bytes or 0))

    def _handle(self, uuid: str) -> Any | None:
        if self.reason is None and uuid not in self._handles:
            handle = _ask(pynvml.nvmlDeviceGetHandleByUUID, uuid)
            if handle is not None:
                self._handles[uuid] = handle
        return self._handles.get(uuid)

    def _entry(self, entry: str, cards: list[Card]) -> Card | None:
        if entry.startswith("MIG-"):
            return self.card(entry)
        if entry.startswith("GPU-"):
            same = [card for card in cards if (card.uuid or "").startswith(entry)]
            return same[0] if len(same) == 1 else None
        if entry.isascii() and entry.isdecimal() and int(entry) < len(cards):
            return cards[int(entry)]
        return None


def read_cards() -> list[Card]:
    """Every card, once; empty where NVML is not there (``why_unavailable`` tells why)."""
    with Monitor() as monitor:
        return monitor.cards()


def read_card(uuid: str) -> Card | None:
    """The card or MIG slice of that UUID, once; None where there is none."""
    with Monitor() as monitor:
        return monitor.card(uuid)


def visible_cards() -> list[Card]:
    """The cards that CUDA_VISIBLE_DEVICES leaves, once, in CUDA's order."""
    with Monitor() as monitor:
        return monitor.visible()


def auto_card() -> Card | None:
    """The card that ``auto`` stands for: the first of the visible ones."""
    return next(iter(visible_cards()), None)


def why_unavailable() -> str | None:
    """One line on why NVML cannot be read and what to do; None where it can."""
    with Monitor() as monitor:
        return None if monitor.reason is None else f"{monitor.reason}: {monitor.remedy}"


def _ask(function: Callable[..., Any], *arguments: Any) -> Any | None:
    """One NVML call; None where the card, the driver or the permissions do not answer it."""
    try:
        return function(*arguments)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None


def _by_index(index: int) -> Card | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        # A card outside this container's device list is not an error, a lost one is.
        return Card(index=index, lost=True) if error.value in _LOST else None
    return _card(handle, None)


def _card(handle: Any, uuid: str | None) -> Card:
    memory, lost = _memory(handle)
    utilization = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    display = _ask(pynvml.nvmlDeviceGetDisplayActive, handle)
    return Card(
        index=_ask(pynvml.nvmlDeviceGetIndex, handle),
        uuid=_ask(pynvml.nvmlDeviceGetUUID, handle) or uuid,
        name=_ask(pynvml.nvmlDeviceGetName, handle),
        total_bytes=memory and memory.total,
        used_bytes=memory and memory.used,
        free_bytes=memory and memory.free,
        utilization_percent=utilization and utilization.gpu,
        temperature_c=_ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        power_w=None if power is None else power / 1000,
        driver_version=_ask(pynvml.nvmlSystemGetDriverVersion),
        cuda_version=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        compute_capability=_ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle),
        display_active=None if display is None else bool(display),
        lost=lost,
    )


def _memory(handle: Any) -> tuple[Any | None, bool]:
    """The memory record, and whether the card is lost; drivers before 510 know only version 1."""
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if memory is not None:
        return memory, False
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle), False
    except pynvml.NVMLError as error:
        return None, error.value in _LOST
