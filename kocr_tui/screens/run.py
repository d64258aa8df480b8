"""One run: watched in a thread, shown in a tuning or a training view, asked by keys."""

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher

from core.events import Request, State
from core.run_dir import RunDir
from core.run_state import config_or_none
from kocr_tui.actions import RUN_VIEWS, Place, bindings_for
from kocr_tui.messages import RunNews
from kocr_tui.run_view import Asked, RunView
from kocr_tui.run_watch import RunFeed, follow_run
from kocr_tui.screens.controls import RunControls
from kocr_tui.screens.training import TrainingView
from kocr_tui.screens.tuning import TuningView
from kocr_tui.widgets.banner import Banner
from kocr_tui.widgets.run_header import RunHeader


class RunScreen(RunControls):
    """Moves from tuning to training by itself, once; ``t`` goes back and forth."""

    CSS_PATH: ClassVar = ["run.tcss", "tuning.tcss", "training.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(RUN_VIEWS)
    AUTO_FOCUS = None
    first_place = "tuning"

    def __init__(self, run: RunDir, clock: Callable[[], float]) -> None:
        super().__init__()
        self._run = run
        self._clock = clock
        self._moved_on = False
        config = config_or_none(run)
        self.view = RunView(run, config, clock())
        self._feed = RunFeed(RunView(run, config, clock()))

    def body(self) -> ComposeResult:
        yield RunHeader()
        yield Banner()
        with ContentSwitcher(initial="tuning", id="views"):
            yield TuningView(id="tuning")
            yield TrainingView(id="training")

    def on_mount(self) -> None:
        self.watch_run()
        self.set_interval(1.0, self._show)

    @work(thread=True, group="watch")
    def watch_run(self) -> None:
        """Reads the run's folder until the screen goes."""
        follow_run(self._feed, self.stopping, self.post_message)

    @on(RunNews)
    def take_news(self) -> None:
        """Folds in what the watch has read and shows it."""
        self.view = self._feed.opened() or self.view
        self.view.take(*self._feed.take())
        state = self.view.state
        begun = state.training is not None or state.baseline is not None or self.live == "baseline"
        if begun and not self._moved_on:
            self._moved_on = True
            self.query_one(ContentSwitcher).current = "training"
        self._show()

    def _show(self) -> None:
        self.view.now = self._clock()
        self.query_one(RunHeader).show(self.view)
        self.query_one(Banner).show(self.view)
        if self.place == "tuning":
            self.query_one(TuningView).show(self.view)
        else:
            self.query_one(TrainingView).show(self.view)
        self.show_keys()

    @property
    def place(self) -> Place:
        switcher = self.query(ContentSwitcher)
        return "training" if switcher and switcher.first().current == "training" else "tuning"

    @property
    def live(self) -> State:
        return self.view.live

    def chosen_run(self) -> RunDir:
        return self._run

    def checkpoint_step(self) -> int | None:
        checkpoint = self.view.state.checkpoint
        return checkpoint.step if checkpoint else None

    def request_sent(self, request: Request, request_id: str) -> None:
        self.view.asked = Asked(request, request_id, self._clock())
        self._show()

    def action_choose(self) -> None:
        self.query_one(TuningView).choose()

    def action_pause(self) -> None:
        self.ask("continue" if self.live == "paused" else "pause")

    def action_evaluate(self) -> None:
        self.ask("evaluate")

    def action_checkpoint(self) -> None:
        self.ask("checkpoint")

    def action_switch_view(self) -> None:
        self._moved_on = True
        if self.maximized:
            self.minimize()
        switcher = self.query_one(ContentSwitcher)
        switcher.current = "tuning" if self.place == "training" else "training"
        self.call_after_refresh(self._show)

    def action_pane(self, number: int) -> None:
        """Goes to a pane; the same number again, or one with no room, fills the screen."""
        if self.place != "training":
            return
        pane = self.query_one(TrainingView).pane(number)
        if self.maximized is pane:
            self.minimize()
        elif self.maximized or self.focused is pane or not pane.region.area:
            self.maximize(pane, container=False)
            pane.focus()
        else:
            pane.focus()

    def action_back(self) -> None:
        if self.maximized:
            self.minimize()
        else:
            self.dismiss()

    def action_detach(self) -> None:
        alive = self._run.worker_pid() is not None
        self.app.exit(self._run.id if alive else None)
