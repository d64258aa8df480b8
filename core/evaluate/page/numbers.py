"""Figures as they stand on the page."""

from core.evaluate.text import Score

NOTHING = "–"


def percent(score: Score) -> str:
    """A share: ``63.5 %``."""
    return NOTHING if score.value is None else f"{score.value * 100:.1f} %"


def interval(score: Score) -> str:
    """Its 95 % interval in whole per cent: ``[57–69]``."""
    return f"[{score.low * 100:.0f}–{score.high * 100:.0f}]"


def megabytes(count: int) -> str:
    """Bytes in millions: ``4.1 MB``."""
    return f"{count / 1e6:.1f} MB"
