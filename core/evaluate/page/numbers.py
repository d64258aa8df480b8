"""Figures as they stand on the page."""

from core.evaluate.text import Score

NOTHING = "–"


def percent(score: Score) -> str:
    """A share: ``63.5 %``."""
    return NOTHING if score.value is None else f"{score.value * 100:.1f} %"


def interval(score: Score) -> str:
    """Its 95 % interval in whole per cent: ``[57–69]``."""
    return f"[{score.low * 100:.0f}–{score.high * 100:.0f}]"


def file_size(count: int) -> str:
    """Bytes in thousands or millions: ``62 kB``, ``4.1 MB``."""
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def points(share: float | None) -> str:
    """A difference of shares in percentage points: ``+12.5``, ``−3.0``."""
    if share is None:
        return NOTHING
    return f"{share * 100:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A probability with as much of it as matters: ``0.031``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
