"""Several runs' curves over each other, each with its colour and, at its end, its letter."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from kocr_tui.look.braille import BrailleGrid
from kocr_tui.views.comparison import LETTERS
from kocr_tui.views.comparison_curves import Point, Range, letter_cells
from kocr_tui.widgets import ink
from kocr_tui.widgets.chart import MARGIN_LEFT, Chart, decimate

# Theme variables; those of the first runs lie farthest apart.
COLOURS = ("primary", "accent", "success", "foreground", "error", "secondary")
LETTER_COLUMNS = 2


@dataclass(frozen=True)
class Drawing:
    """Curves (empty for a run without any), the ranges of both axes, and the left axis' ticks."""

    curves: tuple[tuple[Point, ...], ...]
    x: Range
    y: Range
    ticks: tuple[float, ...]
    labels: tuple[str, ...]


class ComparedChart(Chart):
    """A chart whose lines are told apart by letters, too, and by dashes where they coincide."""

    dash = 3

    def __init__(self) -> None:
        super().__init__()
        self._cells: list[tuple[int, int] | None] = []

    def draw(self, drawing: Drawing) -> None:
        """Draws the curves in the order of the letters."""
        start, end = drawing.x
        right = end + (end - start) * LETTER_COLUMNS / self.columns
        grid = BrailleGrid(self.columns, self.rows, (start, right), drawing.y)
        ends = [
            grid.cell_of(min(end, points[-1][0]), points[-1][1]) if points else None
            for points in drawing.curves
        ]
        self._cells = letter_cells(ends, self.columns, self.rows)
        self.set_ylimits(*drawing.y)
        self.set_yticks(drawing.ticks, drawing.labels)
        thinned = [decimate(points, self.columns) for points in drawing.curves]
        colours = [f"${colour}" for colour in COLOURS]
        self.draw_lines(list(zip(thinned, colours, strict=False)), right, start)

    def show_rows(self, rows: Sequence[Content]) -> None:
        """Writes the letters over the rows before they are shown."""
        written = list(rows)
        for letter, colour, cell in zip(LETTERS, COLOURS, self._cells, strict=False):
            if cell is not None:
                at, row = cell[0] + MARGIN_LEFT, cell[1]
                mark = ink.line((letter, f"bold ${colour}"))
                written[row] = written[row][:at] + mark + written[row][at + 1 :]
        super().show_rows(written)
