"""The tuning view of a run: probes as they land, and what they lead to."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets.log import LogPane
from kocr_tui.widgets.probes import ProbesPane


class TuningView(Vertical):
    """Probes above, the log below."""

    def compose(self) -> ComposeResult:
        yield Static(say("probe.title"), id="tuning-title", markup=False)
        yield ProbesPane()
        yield LogPane("tuning-log")

    def show(self, view: RunView) -> None:
        """Hands the view to the parts."""
        self.query_one(ProbesPane).show(view)
        self.query_one(LogPane).show(view)
