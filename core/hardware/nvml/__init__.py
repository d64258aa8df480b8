"""What NVML says about the cards and who uses them, read without torch."""

from core.hardware.nvml.card import Card, Process
from core.hardware.nvml.monitor import Monitor
from core.hardware.nvml.once import (
    auto_card,
    read_card,
    read_cards,
    visible_cards,
    why_unavailable,
)
from core.hardware.nvml.repair import Repair

__all__ = [
    "Card",
    "Monitor",
    "Process",
    "Repair",
    "auto_card",
    "read_card",
    "read_cards",
    "visible_cards",
    "why_unavailable",
]
