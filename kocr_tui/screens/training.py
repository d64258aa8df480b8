"""The training view of a run: six panes."""

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from kocr_tui.run_view import RunView
from kocr_tui.widgets.accuracy import AccuracyPane
from kocr_tui.widgets.log import LogPane
from kocr_tui.widgets.loss import LossPane
from kocr_tui.widgets.memory import MemoryPane
from kocr_tui.widgets.pane import Pane
from kocr_tui.widgets.samples import SamplesPane
from kocr_tui.widgets.throughput import ThroughputPane


class TrainingView(Vertical):
    """Figures above, charts in the middle, predictions and the log below."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="figures-row"):
            yield MemoryPane()
            yield ThroughputPane()
        with Horizontal(id="charts-row"):
            yield LossPane()
            yield AccuracyPane()
        with Vertical(id="texts-row"):
            yield SamplesPane()
            yield LogPane("pane-6")

    def show(self, view: RunView) -> None:
        """Hands the view to the panes; each draws only what is new to it."""
        for pane in self.query(Pane):
            pane.show(view)

    def pane(self, number: int) -> Pane:
        """The pane of that number."""
        return self.query_one(f"#pane-{number}", Pane)
