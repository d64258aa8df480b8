"""Xid errors: what the driver reports when a card, a program or the power fails."""

from typing import Any

import pynvml

from core.hardware.nvml.ask import LOST, ask

_WORDS = {
    13: "exception in a kernel",
    31: "memory page fault",
    43: "stopped by a program's error",
    45: "work removed after an earlier error",
    48: "uncorrectable memory error",
    61: "internal controller halted",
    62: "internal controller halted",
    63: "memory row remapped",
    64: "memory row could not be remapped",
    74: "NVLink error",
    79: "fallen off the bus",
    92: "many corrected memory errors",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "GPU firmware does not answer",
    120: "GPU firmware error",
}


def xid_words(code: int) -> str:
    """A code with what it means: ``79 (fallen off the bus)``; see NVIDIA's Xid catalog."""
    return f"{code} ({_WORDS[code]})" if code in _WORDS else str(code)


class XidListener:
    """Collects a card's Xid errors from its making on; needs no privileges and no log."""

    def __init__(self, handle: Any) -> None:
        self._codes: list[int] = []
        self._events = ask(pynvml.nvmlEventSetCreate)
        if self._events is not None:
            kinds = pynvml.nvmlEventTypeXidCriticalError
            try:
                pynvml.nvmlDeviceRegisterEvents(handle, kinds, self._events)
            except pynvml.NVMLError:
                self.close()

    def tells(self) -> bool:
        """Whether card, driver and permissions let Xid errors be heard."""
        self._collect()
        return self._events is not None

    def new(self) -> list[int] | None:
        """The codes since the last call, without waiting; None where they are not told.

        Where several came between two calls, NVML gives the last one's code for each.
        """
        if not self.tells():
            return None
        codes, self._codes = self._codes, []
        return codes

    def close(self) -> None:
        """Lets the event set go; nothing is told afterwards."""
        if self._events is not None:
            ask(pynvml.nvmlEventSetFree, self._events)
            self._events = None

    def _collect(self) -> None:
        while self._events is not None:
            try:
                self._codes.append(pynvml.nvmlEventSetWait_v2(self._events, 0).eventData)
            except pynvml.NVMLError as error:
                if error.value in (pynvml.NVML_ERROR_TIMEOUT, *LOST):
                    return
                self.close()
