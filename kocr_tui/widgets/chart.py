"""A small braille chart over steps that redraws only the cells that changed."""

import math
from collections.abc import Sequence

from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.look.braille import BrailleGrid, Points
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines

MARGIN_LEFT = 6
AXIS_ROWS = 2
COLUMNS_A_TICK = 10
ROWS_A_TICK = 2
_AXIS = "$secondary 60%"
_LABEL = "$text-muted"


class Chart(Lines):
    """Lines over steps; the pane around it has the focus and the keys."""

    is_picture = True
    dash = 0
    DEFAULT_CSS = "Chart { height: 1fr; }"

    def __init__(self, widget_id: str | None = None) -> None:
        super().__init__(widget_id)
        self._y_span = (0.0, 1.0)
        self._y_labels: dict[float, str] = {}
        self._x_ticks: list[float] = []
        self._grid = BrailleGrid(1, 1, (0.0, 1.0), (0.0, 1.0))
        self._lines: list[tuple[Points, str]] = []
        self._x_span = (0.0, 1.0)
        self._marks: list[tuple[float, float, str]] = []
        self._stars: dict[tuple[int, int], str] = {}

    @property
    def rows(self) -> int:
        """Rows between the axes."""
        return max(1, int(self.size.height) - AXIS_ROWS)

    @property
    def columns(self) -> int:
        """Columns between the axes."""
        return max(1, int(self.size.width) - MARGIN_LEFT)

    def set_ylimits(self, low: float, high: float) -> None:
        """The values at the bottom and at the top; takes effect with the next drawing."""
        self._y_span = (low, high)

    def set_yticks(self, values: Sequence[float], labels: Sequence[str] = ()) -> None:
        """Where the left axis has figures: the values themselves, or these labels."""
        texts = labels or [f"{value:g}" for value in values]
        self._y_labels = dict(zip(values, texts, strict=True))

    def draw_lines(
        self, lines: Sequence[tuple[Points, str]], end: float, start: float = 0.0
    ) -> None:
        """Replaces what is drawn by these lines of (points, colour), from ``start`` to ``end``."""
        self._lines, self._x_span, self._marks = list(lines), (start, end), []
        self._draw()

    def mark(self, x: float, y: float, colour: str) -> None:
        """Puts a star at a point, where it is in sight."""
        self._marks.append((x, y, colour))
        self._draw()

    def on_resize(self) -> None:
        if self._lines:
            self._draw()

    def _draw(self) -> None:
        start, end = self._x_span
        self._x_ticks = ticks(end, self.columns // COLUMNS_A_TICK, start=start)
        self._grid = BrailleGrid(
            self.columns, self.rows, self._x_span, self._y_span, dash=self.dash
        )
        for points, colour in self._lines:
            self._grid.draw(points, colour)
        stars = ((self._grid.cell_of(x, y), colour) for x, y, colour in self._marks)
        self._stars = {cell: colour for cell, colour in stars if cell is not None}
        self.show_rows([*map(self._row, range(self.rows)), self._axis(), self._axis_labels()])

    def _row(self, row: int) -> Content:
        label = self._label_of(row)
        lead = fmt.pad_left(label, MARGIN_LEFT - 1)
        pieces: list[ink.Piece] = [(lead, _LABEL), ("┤" if label else "│", _AXIS)]
        run, style = "", ""
        for column in range(self._grid.columns):
            character, colour = self._grid.cell(column, row)
            if (star := self._stars.get((column, row))) is not None:
                character, colour = "★", star
            if colour != style:
                pieces.append((run, style))
                run, style = "", colour
            run += character
        return ink.line(*pieces, (run, style))

    def _label_of(self, row: int) -> str:
        start, _end = self._x_span
        low, high = self._y_span
        for value, text in self._y_labels.items():
            if low <= value <= high and self._grid.cell_of(start, value) == (0, row):
                return text
        return ""

    def _tick_columns(self) -> dict[int, float]:
        low = self._y_span[0]
        cells = ((self._grid.cell_of(tick, low), tick) for tick in self._x_ticks)
        return {cell[0]: tick for cell, tick in cells if cell is not None}

    def _axis(self) -> Content:
        marked = self._tick_columns()
        drawn = "".join("┬" if at in marked else "─" for at in range(self._grid.columns))
        return ink.line((" " * (MARGIN_LEFT - 1) + "└" + drawn, _AXIS))

    def _axis_labels(self) -> Content:
        drawn = ""
        for column, tick in sorted(self._tick_columns().items()):
            label = f"{tick:,g}" if tick < 1e6 else f"{tick / 1e6:g}M"
            at = min(
                MARGIN_LEFT + column - len(label) // 2, MARGIN_LEFT + self.columns - len(label)
            )
            if at > len(drawn):
                drawn += " " * (at - len(drawn)) + label
        return ink.line((drawn, _LABEL))


def ticks(end: float, most: int, least_gap: float = 1, start: float = 0.0) -> list[float]:
    """At most ``most`` gaps between round numbers from ``start`` on, 1, 2 or 5 times 10^n apart."""
    raw = (end - start) / max(1, most)
    power = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1
    gap: float = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    gap = max(least_gap, gap)
    first, last = math.ceil(start / gap), math.floor(end / gap)
    return [float(gap * count) for count in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between two positive ones: 1, 2 and 5 times powers of ten, or fewer, or finer.

    Powers of ten alone where there would be more than ``most``; evenly spaced round numbers where
    there would be fewer than two.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        marks = [factor * 10.0**power for power in powers for factor in factors]
        marks = [mark for mark in marks if low <= mark <= high]
        if len(marks) <= most:
            break
    return marks if len(marks) > 1 else ticks(high, most, least_gap=0, start=low)


def within(points: Points, start: float, end: float) -> list[tuple[float, float]]:
    """The points from ``start`` to ``end``, and one on either side so that the line goes on."""
    first = next((at for at, (x, _y) in enumerate(points) if x >= start), len(points))
    after = next((at for at in range(first, len(points)) if points[at][0] > end), len(points))
    return list(points[max(0, first - 1) : after + 1])


def decimate(points: Points, columns: int) -> list[tuple[float, float]]:
    """At most two points a column, each the mean of the points that it stands for."""
    room = max(2, columns * 2)
    if len(points) <= room:
        return list(points)
    thinned = []
    for slot in range(room):
        part = points[slot * len(points) // room : (slot + 1) * len(points) // room]
        thinned.append((part[-1][0], sum(y for _x, y in part) / len(part)))
    return thinned
