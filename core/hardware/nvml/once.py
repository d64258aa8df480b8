"""The cards, read once by a monitor that is closed at once."""

from core.hardware.nvml.card import Card
from core.hardware.nvml.monitor import Monitor


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
