"""A card, and a process on it, as NVML describes them at one moment."""

from typing import Any

import msgspec
import pynvml

from core.hardware.nvml.ask import LOST, ask
from core.hardware.nvml.throttle import throttle_words

_SLICE = "MIG-"
_WORDS = {
    "name": "name",
    "total_bytes": "memory",
    "used_bytes": "memory in use",
    "utilization_percent": "utilisation",
    "temperature_c": "temperature",
    "power_w": "power",
    "power_limit_w": "power limit",
    "sm_clock_mhz": "SM clock",
    "memory_clock_mhz": "memory clock",
    "sm_clock_max_mhz": "highest SM clock",
    "memory_clock_max_mhz": "highest memory clock",
    "throttle_reasons": "throttling",
    "ecc_errors": "ECC errors",
    "display_active": "whether it drives a display",
    "compute_capability": "compute capability",
    "driver_version": "driver version",
    "cuda_version": "CUDA version",
}


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One card, or one MIG slice, at one moment; None where it does not tell.

    ``used_bytes`` leaves out what the driver reserves, as nvidia-smi does, so used and free
    may not add up to the total. ``cuda_version`` is the newest CUDA that the driver runs.
    ``throttle_reasons`` says in words why the clocks are held down, and is empty where they
    are not. ``ecc_errors`` are uncorrected memory errors since the driver was loaded.
    ``mig_mode`` is None where the card has no MIG. ``lost`` means that the driver no longer
    reaches the card.

    A MIG slice has the UUID of its card in ``parent_uuid``, and gives the card's temperature,
    power, clocks, throttling, ECC errors and compute capability, which all slices share.
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
    power_limit_w: float | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    memory_clock_mhz: int | None = None
    memory_clock_max_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    ecc_errors: int | None = None
    driver_version: str | None = None
    cuda_version: str | None = None
    compute_capability: tuple[int, int] | None = None
    display_active: bool | None = None
    mig_mode: bool | None = None
    parent_uuid: str | None = None
    lost: bool = False

    @property
    def is_slice(self) -> bool:
        """Whether this is a MIG slice and not a whole card."""
        return is_slice(self.uuid)

    def untold(self) -> list[str]:
        """What this card does not tell, in words: ``["power limit", "ECC errors"]``."""
        return [words for field, words in _WORDS.items() if getattr(self, field) is None]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a card; ``used_bytes`` is None where the driver hides it (WDDM, containers)."""

    pid: int
    used_bytes: int | None = None
    name: str | None = None


class _Answers:
    """The answers of a card, or of a slice and, for what slices share, of its card."""

    def __init__(self, handle: Any, parent: Any | None) -> None:
        self._handles = [handle] if parent is None else [handle, parent]

    def shared(self, function: Any, *arguments: Any) -> Any | None:
        answers = (ask(function, handle, *arguments) for handle in self._handles)
        return next((answer for answer in answers if answer is not None), None)

    def watts(self, function: Any) -> float | None:
        milliwatts = self.shared(function)
        return None if milliwatts is None else milliwatts / 1000

    def throttle_reasons(self) -> tuple[str, ...] | None:
        """By the name of drivers from 535 on, else by the one before."""
        mask = self.shared(pynvml.nvmlDeviceGetCurrentClocksEventReasons)
        if mask is None:
            mask = self.shared(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return None if mask is None else throttle_words(mask)


def is_slice(uuid: str | None) -> bool:
    """Whether the UUID is a MIG slice's."""
    return (uuid or "").startswith(_SLICE)


def parent_of(handle: Any) -> Any | None:
    """The handle of the card that a MIG slice is cut from."""
    return ask(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)


def read(handle: Any, uuid: str | None = None) -> Card:
    """What ``handle`` tells now; ``uuid`` is taken where it does not tell its own."""
    uuid = ask(pynvml.nvmlDeviceGetUUID, handle) or uuid
    parent = parent_of(handle) if is_slice(uuid) else None
    memory, lost = _memory(handle)
    utilization = ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    cuda = ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return Card(
        index=ask(pynvml.nvmlDeviceGetIndex, handle),
        uuid=uuid,
        name=ask(pynvml.nvmlDeviceGetName, handle),
        total_bytes=memory and memory.total,
        used_bytes=memory and memory.used,
        free_bytes=memory and memory.free,
        utilization_percent=utilization and utilization.gpu,
        driver_version=ask(pynvml.nvmlSystemGetDriverVersion),
        cuda_version=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        parent_uuid=None if parent is None else ask(pynvml.nvmlDeviceGetUUID, parent),
        lost=lost,
        **_shared(_Answers(handle, parent)),
    )


def _shared(card: _Answers) -> dict[str, Any]:
    """The fields that a card's slices have in common."""
    sm, memory = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
    uncorrected = (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    mig = card.shared(pynvml.nvmlDeviceGetMigMode)
    display = card.shared(pynvml.nvmlDeviceGetDisplayActive)
    return {
        "temperature_c": card.shared(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU),
        "power_w": card.watts(pynvml.nvmlDeviceGetPowerUsage),
        "power_limit_w": card.watts(pynvml.nvmlDeviceGetEnforcedPowerLimit),
        "sm_clock_mhz": card.shared(pynvml.nvmlDeviceGetClockInfo, sm),
        "sm_clock_max_mhz": card.shared(pynvml.nvmlDeviceGetMaxClockInfo, sm),
        "memory_clock_mhz": card.shared(pynvml.nvmlDeviceGetClockInfo, memory),
        "memory_clock_max_mhz": card.shared(pynvml.nvmlDeviceGetMaxClockInfo, memory),
        "throttle_reasons": card.throttle_reasons(),
        "ecc_errors": card.shared(pynvml.nvmlDeviceGetTotalEccErrors, *uncorrected),
        "compute_capability": card.shared(pynvml.nvmlDeviceGetCudaComputeCapability),
        "display_active": None if display is None else bool(display),
        "mig_mode": None if mig is None else mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE,
    }


def _memory(handle: Any) -> tuple[Any | None, bool]:
    """The memory record, and whether the card is lost; drivers before 510 know only version 1."""
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if memory is not None:
        return memory, False
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle), False
    except pynvml.NVMLError as error:
        return None, error.value in LOST
