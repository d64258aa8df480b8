"""What the driver says has to be done to a card before it's whole again."""

from typing import Any

import msgspec
import pynvml

from core.hardware.nvml.ask import ask

_ACTIONS = {
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: "the driver asks for a reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "the driver asks for a reboot",
    pynvml.NVML_GPU_RECOVERY_ACTION_BUS_RESET: "the driver asks for a reset of its bus",
}
_ADVISED = pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """Why a card needs a reset or a reboot, in words.

    One that is not ``urgent`` may wait: faulty memory is out of use, and the reset replaces it.
    """

    words: str
    urgent: bool


def repair_of(card: Any) -> Repair | None:
    """What the card of that handle needs; None for nothing, or where it does not tell.

    Newer drivers tell the recovery action; cards from Ampere on tell of remapped rows, older ones
    of retired pages (NVML API reference).
    """
    action = _recovery_action(card)
    if action in _ACTIONS:
        return Repair(words=_ACTIONS[action], urgent=True)
    rows = ask(pynvml.nvmlDeviceGetRemappedRows, card)
    if rows is not None and rows[2]:
        return Repair(words="a faulty memory row waits for a reset to be remapped", urgent=False)
    if ask(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, card):
        return Repair(words="a faulty memory page waits for a reset to be retired", urgent=False)
    if action == _ADVISED:
        return Repair(words="the driver advises a reset", urgent=False)
    return None


def _recovery_action(card: Any) -> int | None:
    values = ask(
        pynvml.nvmlDeviceGetFieldValues, card, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]
    )
    if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    return int(values[0].value.uiVal)
