"""The pane with the curves: which runs they are, the chart, and what its axes show."""

import math
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.look.palette import STATE_MARKS
from kocr_tui.strings import say
from kocr_tui.views import comparison_curves as curves
from kocr_tui.views.chart_window import ChartWindow
from kocr_tui.views.comparison import LETTERS, Compared, names
from kocr_tui.views.comparison_curves import Axis, Point
from kocr_tui.widgets import ink
from kocr_tui.widgets.chart import ROWS_A_TICK, log_ticks, ticks, within
from kocr_tui.widgets.compared_chart import COLOURS, ComparedChart, Drawing
from kocr_tui.widgets.lines import Lines

ENTRY_COLUMNS = 25
LOG_TICKS = 8


class CurvesPane(Vertical):
    """One measure of all runs; ``m``, ``l`` and the zoom keys of the screen end up here."""

    def __init__(self) -> None:
        super().__init__(id="compare-curves", classes="compare-pane")
        self.measure = curves.CURVES[0]
        self.log_scale = False
        self._window = ChartWindow()
        self._runs: tuple[Compared, ...] = ()

    def compose(self) -> ComposeResult:
        yield Lines("compare-legend")
        yield ComparedChart()
        yield Lines("compare-axis")

    def on_mount(self) -> None:
        self.query_one("#compare-legend", Lines).show_rows([Content(say("compare.reading"))])
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def show(self, runs: tuple[Compared, ...]) -> None:
        """Brings the pane up to date."""
        self._runs = runs
        self._show()

    def next_measure(self) -> None:
        """Shows the measure after this one, the first after the last."""
        at = curves.CURVES.index(self.measure)
        self.measure = curves.CURVES[(at + 1) % len(curves.CURVES)]
        self._show()

    def toggle_log(self) -> None:
        """Draws the loss on a logarithmic scale, or no longer."""
        self.log_scale = not self.log_scale
        self._show()

    def zoom_in(self) -> None:
        """Shows half as much of the x axis."""
        self._move(self._window.zoomed_in(self._full()))

    def zoom_out(self) -> None:
        """Shows twice as much of the x axis."""
        self._move(self._window.zoomed_out(self._full()))

    def pan_left(self) -> None:
        """Moves the window to earlier steps."""
        self._move(self._window.earlier(self._full()))

    def pan_right(self) -> None:
        """Moves the window to later steps."""
        self._move(self._window.later(self._full()))

    def whole_chart(self) -> None:
        """Shows the whole x axis."""
        self._move(ChartWindow())

    def _move(self, window: ChartWindow) -> None:
        self._window = window
        self._show()

    def _full(self) -> float:
        axis = curves.axis_of(self._runs)
        ends = [points[-1][0] for run in self._runs if (points := curves.curve(run, "loss", axis))]
        return max([2.0, *ends])

    def _show(self) -> None:
        title = say(f"compare.curve.{self.measure}")
        if self.log_scale and self.measure == "loss":
            title += " · " + say("compare.log")
        # Setting a title sends the whole pane again, even where it is the same.
        if title != self.border_title:
            self.border_title = title
        chart = self.query_one(ComparedChart)
        if not self._runs or not chart.size.width:
            return
        axis, full = curves.axis_of(self._runs), self._full()
        shown = self._window.span(full)
        whole = self._window.length is None
        lines = [within(curves.curve(run, self.measure, axis), *shown) for run in self._runs]
        self.query_one("#compare-legend", Lines).show_rows(
            legend_rows(self._runs, self.content_size.width, curves.twins(lines))
        )
        chart.draw(self._drawing(lines, shown, max(2, chart.rows // ROWS_A_TICK), whole=whole))
        note = axis_line(axis, shown, full, whole=whole, empty=not any(lines))
        self.query_one("#compare-axis", Lines).show_rows([note])

    def _drawing(
        self, lines: list[list[Point]], x: curves.Range, most: int, *, whole: bool
    ) -> Drawing:
        if self.measure != "loss":
            y = curves.percent_range(lines)
            marks = ticks(y[1], most, start=y[0])
            labels = [f"{mark:g} %" for mark in marks]
        elif self.log_scale:
            low, high = curves.log_range(lines)
            found = log_ticks(low, high, max(LOG_TICKS, most))
            y, marks = (math.log10(low), math.log10(high)), [math.log10(mark) for mark in found]
            labels = [f"{mark:.4g}" for mark in found]
            lines = [curves.logarithms(points) for points in lines]
        else:
            y = curves.loss_range(lines, whole=whole)
            marks = ticks(y[1], most, 0, y[0])
            labels = [f"{mark:.4g}" for mark in marks]
        return Drawing(tuple(map(tuple, lines)), x, y, tuple(marks), tuple(labels))


def legend_rows(
    runs: tuple[Compared, ...], columns: int, twins: Sequence[int | None] = ()
) -> list[Content]:
    """Letter, name and state of each run, as many beside each other as there is room for.

    A curve that is the same as one before, its twin, has that one's letter after its own: ``B=A``.
    """
    beside = max(1, min(len(runs), columns // ENTRY_COLUMNS))
    beside = -(-len(runs) // -(-len(runs) // beside))
    room = columns // beside
    entries = [
        _entry(index, run, name, room, twin)
        for index, (run, name, twin) in enumerate(
            zip(runs, names(runs), twins or [None] * len(runs), strict=True)
        )
    ]
    rows = [entries[start : start + beside] for start in range(0, len(entries), beside)]
    return [Content("").join(row) for row in rows]


def _entry(index: int, run: Compared, name: str, columns: int, twin: int | None) -> Content:
    mark, word, style = state_words(run)
    state = f"{mark} {word}"
    letter = f"{LETTERS[index]}━ " if twin is None else f"{LETTERS[index]}={LETTERS[twin]} "
    shown = fmt.cut(name, max(4, columns - fmt.width(letter) - fmt.width(state) - 3))
    used = fmt.width(letter) + fmt.width(shown) + 1 + fmt.width(state)
    return ink.line(
        (letter, f"bold ${COLOURS[index]}"),
        shown,
        " ",
        (state, f"${style}"),
        " " * (columns - used),
    )


def state_words(run: Compared) -> tuple[str, str, str]:
    """A run's mark, state in words and style; a folder that was deleted is gone."""
    if run.gone:
        return "✗", say("compare.gone"), "error"
    mark, style = STATE_MARKS[run.live]
    return mark, say(f"state.{run.live}") + ("!" if run.slow else ""), style


def axis_line(axis: Axis, shown: curves.Range, full: float, *, whole: bool, empty: bool) -> Content:
    """What the x axis counts, which part of it is shown, and that there is nothing yet."""
    pieces: list[ink.Piece] = [("x: " + say(f"compare.axis.{axis}"), "$text-muted")]
    if not whole:
        start, end = (f"{edge:,.0f}" for edge in shown)
        part = say("compare.part", start=start, end=end, full=f"{full:,.0f}")
        pieces.append(("   " + part, "bold $accent"))
    if empty:
        pieces.append(("   " + say("compare.no_curve"), "bold"))
    return ink.line(*pieces)
