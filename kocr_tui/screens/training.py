"""The training view of a run: seven panes, each shown or hidden by its digit."""

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from kocr_tui.reading.card_reading import CardReading
from kocr_tui.views.chart_window import ChartWindow
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets.accuracy import AccuracyPane
from kocr_tui.widgets.card import CardPane
from kocr_tui.widgets.log import LogPane
from kocr_tui.widgets.loss import LossPane
from kocr_tui.widgets.memory import MemoryPane
from kocr_tui.widgets.pane import Pane
from kocr_tui.widgets.samples import SamplesPane
from kocr_tui.widgets.throughput import ThroughputPane

HIDDEN_WHERE_LOW = frozenset({6, 7})
ROWS = ("figures-row", "charts-row", "lower-rows", "texts-row", "notes-row")


class TrainingView(Vertical):
    """Figures above, charts in the middle, predictions below, then the log and the card."""

    def __init__(self, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._chosen: dict[int, bool] = {}
        self._view: RunView | None = None
        self._window = ChartWindow()

    def compose(self) -> ComposeResult:
        with Horizontal(id="figures-row"):
            yield MemoryPane()
            yield ThroughputPane()
        with Horizontal(id="charts-row"):
            yield LossPane()
            yield AccuracyPane()
        with Vertical(id="lower-rows"):
            with Horizontal(id="texts-row"):
                yield SamplesPane()
            with Horizontal(id="notes-row"):
                yield LogPane("pane-6")
                yield CardPane()

    def on_resize(self, _event: events.Resize) -> None:
        self.show_panes()

    def show(self, view: RunView) -> None:
        """Hands the view to the panes; each draws only what is new to it."""
        if self._view is None:
            self.show_panes()
        self._view = view
        for pane in self.query(Pane):
            pane.show(view)

    def show_card(self, reading: CardReading) -> None:
        """Hands a reading of the card to the panes that show it."""
        self.query_one(MemoryPane).reading = reading
        self.query_one(CardPane).reading = reading

    def pane(self, number: int) -> Pane:
        """The pane of that number."""
        return self.query_one(f"#pane-{number}", Pane)

    def visible_panes(self) -> list[Pane]:
        """The panes that are not hidden, by number."""
        return [pane for pane in self.query(Pane) if pane.display]

    def toggle(self, number: int) -> bool:
        """Shows or hides a pane; False where it is the last one, which stays."""
        pane = self.pane(number)
        if self.visible_panes() == [pane]:
            return False
        self._chosen[number] = not pane.display
        self.show_panes()
        return True

    def change_window(self, change: Callable[[ChartWindow, float], ChartWindow]) -> None:
        """Zooms or moves all charts and strips."""
        if self._view is None:
            return
        self._window = change(self._window, float(self._view.state.step))
        for pane in self.query(Pane):
            pane.window = self._window
            pane.redraw()

    def switch_log_scale(self) -> None:
        """Draws the loss on a logarithmic scale, or a linear one."""
        pane = self.query_one(LossPane)
        pane.log_scale = not pane.log_scale
        pane.redraw()

    def show_panes(self) -> None:
        """Hides what is hidden, and rows with nothing in them, so that the others get the room."""
        low = self.screen.has_class("-low")
        for pane in self.query(Pane):
            pane.display = self._chosen.get(
                pane.number, not low or pane.number not in HIDDEN_WHERE_LOW
            )
        for name in ROWS:
            row = self.query_one(f"#{name}")
            shown = any(pane.display for pane in row.query(Pane))
            row.display = shown
            self.set_class(not shown, f"-no-{name}")
