"""Lines drawn with braille dots, two across and four down in each cell; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Points = Sequence[tuple[float, float]]
_BLANK = 0x2800
# Bits of the dots of a cell, by row from the top and column from the left (Unicode 2800-28FF).
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass
class BrailleGrid:
    """Dots on ``columns`` x ``rows`` cells; a cell has the colour that was drawn last in it.

    With ``dash`` (columns), lines that share cells take turns instead, so that none is hidden.
    """

    columns: int
    rows: int
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    dash: int = 0
    _dots: dict[tuple[int, int], int] = field(default_factory=dict)
    _colours: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def draw(self, points: Points, colour: str) -> None:
        """Draws a line through the points; one that is not finite breaks it."""
        before: tuple[float, float] | None = None
        for x, y in points:
            if not math.isfinite(y):
                before = None
                continue
            at = self._place(x, y)
            self._stroke(before or at, at, colour)
            before = at

    def cell(self, column: int, row: int) -> tuple[str, str]:
        """The character of a cell and its colour, a space and no colour where nothing is."""
        bits = self._dots.get((column, row))
        if not bits:
            return " ", ""
        colours = self._colours[column, row]
        turn = column // self.dash % len(colours) if self.dash else -1
        return chr(_BLANK + bits), colours[turn]

    def cell_of(self, x: float, y: float) -> tuple[int, int] | None:
        """Column and row of the cell that a point lies in, None outside."""
        across, down = self._place(x, y)
        column, row = round(across) // 2, round(down) // 4
        inside = 0 <= column < self.columns and 0 <= row < self.rows
        return (column, row) if inside else None

    def _place(self, x: float, y: float) -> tuple[float, float]:
        (left, right), (low, high) = self.x_span, self.y_span
        across = (x - left) / ((right - left) or 1.0)
        up = (min(max(y, low), high) - low) / ((high - low) or 1.0)
        return across * (self.columns * 2 - 1), (1 - up) * (self.rows * 4 - 1)

    def _stroke(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        (x0, y0), (x1, y1) = start, end
        steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
        for number in range(steps + 1):
            share = number / steps
            self._dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share), colour)

    def _dot(self, x: int, y: int, colour: str) -> None:
        if 0 <= x < self.columns * 2 and 0 <= y < self.rows * 4:
            cell = x // 2, y // 4
            self._dots[cell] = self._dots.get(cell, 0) | _BITS[y % 4][x % 2]
            drawn = self._colours.setdefault(cell, [])
            if colour not in drawn[-1:]:
                self._colours[cell] = [*(one for one in drawn if one != colour), colour]
