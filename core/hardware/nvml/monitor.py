"""Reads the cards again and again, for as long as someone watches."""

import os
from types import TracebackType
from typing import Any, Self

import pynvml

from core.hardware.nvml.ask import LOST, ask
from core.hardware.nvml.card import Card, Process, is_slice, parent_of, read
from core.hardware.nvml.repair import Repair, repair_of
from core.hardware.nvml.xid import XidListener

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
# Drivers before 510 know only the second version of each.
_LISTERS = (
    (
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
    ),
    (
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
    ),
)


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
        self._listeners: dict[str, XidListener] = {}
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
            for listener in self._listeners.values():
                listener.close()
            ask(pynvml.nvmlShutdown)
            self._listeners.clear()
            self._handles.clear()
            self.reason = "NVML was closed"

    def cards(self) -> list[Card]:
        """Every card that this process may see, in NVML's order (by PCI bus); no slices."""
        if self.reason is not None:
            return []
        found = (_by_index(index) for index in range(ask(pynvml.nvmlDeviceGetCount) or 0))
        return [card for card in found if card is not None]

    def card(self, uuid: str) -> Card | None:
        """The card or MIG slice of that UUID; None where there is none."""
        handle = self._handle(uuid)
        return None if handle is None else read(handle, uuid)

    def slices(self, uuid: str) -> list[Card]:
        """The MIG slices that the card of that UUID is cut into, in NVML's order."""
        handle = self._handle(uuid)
        if handle is None:
            return []
        most = ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        # Numbers of slices that were taken away stay free, so any of them may be missing.
        handles = (
            ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            for number in range(most)
        )
        return [read(one) for one in handles if one is not None]

    def visible(self) -> list[Card]:
        """The cards that CUDA would show under CUDA_VISIBLE_DEVICES, in its order.

        Follows the CUDA programming guide: indices, or GPU- UUIDs that may be shortened, or
        MIG- UUIDs; the first invalid entry ends the list. A repeated entry leaves nothing.
        Indices count by PCI bus, which CUDA does only with CUDA_DEVICE_ORDER=PCI_BUS_ID.

        Follows the MIG user guide: a card in MIG mode stands for its first slice, and a process
        that is given a slice sees that one alone.
        """
        shown: list[Card] = []
        for card in self._chosen():
            cut = card.mig_mode and not card.is_slice
            shown += self.slices(card.uuid or "")[:1] if cut else [card]
        first = next((card for card in shown if card.is_slice), None)
        return shown if first is None else [first]

    def processes(self, uuid: str) -> list[Process]:
        """Who computes or draws on the card or slice of that UUID, the largest first.

        Empty, too, where the driver does not tell; see ``tells_processes``.
        """
        used: dict[int, int | None] = {}
        for entry in self._listed(uuid) or ():
            # One that does both is listed twice, with the same memory.
            used[entry.pid] = entry.usedGpuMemory or used.get(entry.pid)
        found = [
            Process(pid=pid, used_bytes=size, name=ask(pynvml.nvmlSystemGetProcessName, pid))
            for pid, size in used.items()
        ]
        return sorted(found, key=lambda process: -(process.used_bytes or 0))

    def tells_processes(self, uuid: str) -> bool:
        """Whether the driver tells at all who uses the card."""
        return self._listed(uuid) is not None

    def xid_errors(self, uuid: str) -> list[int] | None:
        """Codes of Xid errors of the card since the last call; None where they are not told.

        The first call begins to listen and knows of none. The errors of a MIG slice are those
        of its card. ``xid.xid_words`` gives a code's meaning.
        """
        listener = self._listener(uuid)
        return None if listener is None else listener.new()

    def repair(self, uuid: str) -> Repair | None:
        """What the card, or a slice's card, needs to be whole again; None where that isn't told."""
        handle = self._handle(uuid)
        if handle is None:
            return None
        parent = parent_of(handle) if is_slice(uuid) else None
        return repair_of(handle if parent is None else parent)

    def untold(self, uuid: str) -> list[str]:
        """What the card or slice does not tell, in words; empty where there is none."""
        card = self.card(uuid)
        if card is None:
            return []
        untold = card.untold()
        if not self.tells_processes(uuid):
            untold.append("its processes")
        elif any(process.used_bytes is None for process in self.processes(uuid)):
            untold.append("memory of each process")
        listener = self._listener(uuid)
        if listener is None or not listener.tells():
            untold.append("Xid errors")
        return untold

    def _handle(self, uuid: str) -> Any | None:
        if self.reason is None and uuid not in self._handles:
            handle = ask(pynvml.nvmlDeviceGetHandleByUUID, uuid)
            if handle is not None:
                self._handles[uuid] = handle
        return self._handles.get(uuid)

    def _listener(self, uuid: str) -> XidListener | None:
        handle = self._handle(uuid)
        if handle is None:
            return None
        if uuid not in self._listeners:
            parent = parent_of(handle) if is_slice(uuid) else None
            self._listeners[uuid] = XidListener(handle if parent is None else parent)
        return self._listeners[uuid]

    def _listed(self, uuid: str) -> list[Any] | None:
        """NVML's entries of both kinds; None where it gives neither."""
        handle = self._handle(uuid)
        if handle is None:
            return None
        answers = [_first_answer(listers, handle) for listers in _LISTERS]
        told = [answer for answer in answers if answer is not None]
        return [entry for answer in told for entry in answer] if told else None

    def _chosen(self) -> list[Card]:
        """The entries of CUDA_VISIBLE_DEVICES, slices or whole cards."""
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        cards = self.cards()
        if chosen is None:
            return cards
        found: list[Card] = []
        for entry in chosen.split(","):
            card = self._entry(entry.strip(), cards)
            if card is None:
                break
            if card.uuid in {other.uuid for other in found}:
                return []
            found.append(card)
        return found

    def _entry(self, entry: str, cards: list[Card]) -> Card | None:
        if is_slice(entry):
            return self.card(entry)
        if entry.startswith("GPU-"):
            same = [card for card in cards if (card.uuid or "").startswith(entry)]
            return same[0] if len(same) == 1 else None
        if entry.isascii() and entry.isdecimal() and int(entry) < len(cards):
            return cards[int(entry)]
        return None


def _first_answer(listers: tuple[Any, ...], handle: Any) -> list[Any] | None:
    answers = (ask(lister, handle) for lister in listers)
    return next((answer for answer in answers if answer is not None), None)


def _by_index(index: int) -> Card | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:
        # A card outside this container's device list is not an error, a lost one is.
        return Card(index=index, lost=True) if error.value in LOST else None
    return read(handle)
