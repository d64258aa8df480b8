"""Two or more runs side by side: curves over each other, scores, costs and settings."""

import threading
from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.widgets import Static

from core.run_dir import RunDir
from kocr_tui.actions import bindings_for
from kocr_tui.messages import RunsCompared
from kocr_tui.reading.comparison_watch import follow_compared
from kocr_tui.screens.base import BaseScreen
from kocr_tui.strings import say
from kocr_tui.views.comparison import MOST_RUNS
from kocr_tui.widgets.compared_curves import CurvesPane
from kocr_tui.widgets.compared_tables import TablesPane


class CompareScreen(BaseScreen):
    """Reads the runs in a thread until it is left; more than MOST_RUNS are refused."""

    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(["compare"])
    AUTO_FOCUS = "TablesPane"
    first_place = "compare"

    def __init__(self, runs: list[RunDir], clock: Callable[[], float]) -> None:
        super().__init__()
        self._runs = runs
        self._clock = clock
        self._seen = threading.Event()

    def body(self) -> ComposeResult:
        if not 2 <= len(self._runs) <= MOST_RUNS:
            key = "compare.too_many" if len(self._runs) > MOST_RUNS else "compare.too_few"
            refused = say(key, count=len(self._runs), most=MOST_RUNS)
            yield Static(refused, id="compare-refused", markup=False)
            return
        with Container(id="compare-body"):
            yield CurvesPane()
            yield TablesPane(self._clock)

    def on_mount(self) -> None:
        if self.query(CurvesPane):
            self.watch_runs()

    # Any message to a screen below another makes Textual send the upper one whole.
    def on_screen_suspend(self) -> None:
        self._seen.clear()

    def on_screen_resume(self) -> None:
        self._seen.set()

    @work(thread=True, group="watch")
    def watch_runs(self) -> None:
        """Reads the runs' folders until the screen goes."""
        follow_compared(self._runs, self.stopping, self._seen, self.post_message)

    @on(RunsCompared)
    def show_runs(self, message: RunsCompared) -> None:
        """Hands the runs to both panes; each draws only what is new to it."""
        self.query_one(CurvesPane).show(message.runs)
        self.query_one(TablesPane).show(message.runs)

    def action_measure(self) -> None:
        for pane in self.query(CurvesPane):
            pane.next_measure()

    def action_log_scale(self) -> None:
        for pane in self.query(CurvesPane):
            if pane.measure == "loss":
                pane.toggle_log()
            else:
                self.tell(say("compare.log_is_for_loss"))

    def action_zoom_in(self) -> None:
        for pane in self.query(CurvesPane):
            pane.zoom_in()

    def action_zoom_out(self) -> None:
        for pane in self.query(CurvesPane):
            pane.zoom_out()

    def action_pan_left(self) -> None:
        for pane in self.query(CurvesPane):
            pane.pan_left()

    def action_pan_right(self) -> None:
        for pane in self.query(CurvesPane):
            pane.pan_right()

    def action_whole_chart(self) -> None:
        for pane in self.query(CurvesPane):
            pane.whole_chart()

    def action_back(self) -> None:
        self.dismiss()

    def action_detach(self) -> None:
        self.app.exit(None)
