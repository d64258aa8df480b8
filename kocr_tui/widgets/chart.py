"""A small braille chart without zooming, for panes that redraw at most twice a second."""

import math
from collections.abc import Sequence

from textual_plot import HiResMode, PlotWidget

Points = Sequence[tuple[float, float]]
MARGIN_LEFT = 6
COLUMNS_A_TICK = 10


class Chart(PlotWidget, can_focus=False, inherit_bindings=False):  # type: ignore[misc, call-arg]
    """Lines over steps; the pane around it has the focus and the keys."""

    def __init__(self) -> None:
        super().__init__(allow_pan_and_zoom=False)

    def on_mount(self) -> None:
        self.margin_top = 0
        self.margin_left = MARGIN_LEFT
        self.margin_bottom = 1

    @property
    def rows(self) -> int:
        """Rows between the axes."""
        return max(1, int(self.size.height) - 3)

    @property
    def columns(self) -> int:
        """Columns between the axes."""
        return max(1, int(self.size.width) - MARGIN_LEFT - 2)

    def draw_lines(self, lines: Sequence[tuple[Points, str]], end: float) -> None:
        """Replaces what is drawn by these lines of (points, colour), from step 0 to ``end``."""
        self.clear()
        self.set_xlimits(0, end)
        self.set_xticks(ticks(end, self.columns // COLUMNS_A_TICK))
        for points, colour in lines:
            if len(points) > 1:
                self.plot(
                    [x for x, _y in points],
                    [y for _x, y in points],
                    line_style=colour,
                    hires_mode=HiResMode.BRAILLE,
                )

    def mark(self, x: float, y: float, colour: str) -> None:
        """Puts a star at a point."""
        self.scatter([x], [y], marker="★", marker_style=colour)


def ticks(end: float, most: int, least_gap: float = 1) -> list[float]:
    """At most ``most`` round steps from 0 on, 1, 2 or 5 times a power of ten apart."""
    raw = end / max(1, most)
    power = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1
    gap: float = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    gap = max(least_gap, gap)
    return [float(gap * count) for count in range(int(end // gap) + 1)]


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
