"""Xid errors: what the driver reports when a card, a program or the power fails."""

from typing import Any

import pynvml

from core.hardware.nvml.ask import LOST, ask

_WORDS = {
    13: "exception in a kernel",
    31: "memory page fault",
    43: "stopped by a program's error",
    45: "work removed after an earlier error",
    46: "stopped answering",
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
    109: "context switch timed out",
    110: "security fault",
    119: "GPU firmware does not answer",
    120: "GPU firmware error",
    140: "unrecovered memory error",
    143: "GPU did not initialise",
    156: "faulty unit taken out of use",
    158: "fatal timeout",
}
FELL_OFF = 79
# Errors after which nothing that the card computes can be trusted until it is reset; see is_fatal.
_FATAL = frozenset({46, 48, 62, 64, FELL_OFF, 95, 109, 110, 119, 120, 140, 143, 156, 158})


def xid_words(code: int) -> str:
    """A code with what it means: ``79 (fallen off the bus)``; see NVIDIA's Xid catalog."""
    return f"{code} ({_WORDS[code]})" if code in _WORDS else str(code)


def is_fatal(code: int) -> bool:
    """Whether the card has to be reset, or the box restarted, before anyone goes on with it.

    So says the Xid catalog (https://docs.nvidia.com/deploy/xid-errors, "Analyzing Xid Errors with
    the Xid Catalog") where its immediate action is RESET_GPU, RESTART_BM or WORKFLOW_XID_48 ("a GPU
    reset or node reboot is needed to clear this error"). Not fatal by themselves are 63 (IGNORE: a
    row was remapped), 94 (RESTART_APP: contained in one program, which gets a CUDA error and may
    not be this one), what a program does to itself (13, 31, 43, 45), and errors of NVLink (74, 136,
    144 to 150, 155), which a neighbour's failure raises too: a run that needs the link gets an
    error of NCCL or CUDA.
    """
    return code in _FATAL


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
