"""A strip of bars over the steps that the charts show, as high as it is given rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Bars:
    """(step, share from 0 to 1) pairs, the steps to show, and a label to stand before them."""

    values: Sequence[tuple[float, float]]
    span: tuple[float, float]
    label: str = ""
    style: str = "$primary"


class BarStrip(Lines):
    """Values over steps as bars between 0 and 1."""

    is_picture = True
    DEFAULT_CSS = "BarStrip { height: 1; }"

    def __init__(self, widget_id: str | None = None) -> None:
        super().__init__(widget_id)
        self._drawn: Bars | None = None

    def show_values(self, bars: Bars) -> None:
        """Draws these bars in the columns and rows that there are."""
        self._drawn = bars
        shares = in_columns(bars.values, bars.span, max(1, self.size.width - fmt.width(bars.label)))
        rows = max(1, self.size.height)
        self.show_rows([_row(shares, rows, at, bars) for at in range(rows)])

    def on_resize(self) -> None:
        if self._drawn is not None:
            self.show_values(self._drawn)


def _row(shares: list[float | None], rows: int, at: int, bars: Bars) -> Content:
    """One row of bars; rows count from the top, and a value above zero is always seen."""
    below = rows - 1 - at
    drawn = "".join(
        " " if share is None else _EIGHTHS[_eighths(share, rows, below)] for share in shares
    )
    lead = bars.label if at == rows - 1 else " " * fmt.width(bars.label)
    return ink.line((lead, "$text-muted"), (drawn, bars.style))


def _eighths(share: float, rows: int, below: int) -> int:
    eighths = max(1, round(min(1.0, max(0.0, share)) * rows * 8))
    return min(8, max(0, eighths - below * 8))


def in_columns(
    values: Sequence[tuple[float, float]], span: tuple[float, float], columns: int
) -> list[float | None]:
    """The largest value in each column; a column without one repeats its left neighbour's.

    Columns before the first value and after the last have None.
    """
    start, end = span
    found: list[float | None] = [None] * columns
    for step, value in values:
        if start <= step <= end:
            at = min(columns - 1, int((step - start) / ((end - start) or 1.0) * columns))
            found[at] = max(value, found[at] or 0.0)
    known = [at for at, value in enumerate(found) if value is not None]
    for at in range(known[0], known[-1]) if known else ():
        found[at] = found[at - 1] if found[at] is None else found[at]
    return found
