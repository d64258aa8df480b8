"""One run: watched in a thread, shown in a tuning or a training view, asked by keys."""

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher

from core.events import Request, ResumeRefused, State
from core.run_dir import RunDir
from core.run_watch import config_or_none
from kocr_tui.actions import RUN_VIEWS, Action, Place, bindings_for
from kocr_tui.messages import RunCardRead, RunNews
from kocr_tui.reading.card_reading import Wanted
from kocr_tui.reading.card_watch import follow_run_card
from kocr_tui.reading.run_watch import RunFeed, follow_run
from kocr_tui.screens.controls import RunControls
from kocr_tui.screens.training import TrainingView
from kocr_tui.screens.tuning import TuningView, has_choice
from kocr_tui.strings import say
from kocr_tui.views.chart_window import ChartWindow
from kocr_tui.views.run_view import Asked, RunView
from kocr_tui.widgets.banner import Banner
from kocr_tui.widgets.pane import Pane
from kocr_tui.widgets.run_header import RunHeader
from kocr_tui.widgets.samples import SamplesPane


class RunScreen(RunControls):
    """Moves from tuning to training by itself, once; ``t`` goes back and forth."""

    CSS_PATH: ClassVar = ["run.tcss", "tuning.tcss", "training.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(RUN_VIEWS)
    AUTO_FOCUS = ""
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
        # Neither view shows before the run's past is read, so that nothing flashes by.
        with ContentSwitcher(initial=None, id="views"):
            yield TuningView(id="tuning")
            yield TrainingView("training")

    def on_mount(self) -> None:
        self.watch_run()
        self.watch_card()
        self.set_interval(1.0, self._show)

    @work(thread=True, group="watch")
    def watch_run(self) -> None:
        """Reads the run's folder until the screen goes."""
        follow_run(self._feed, self.stopping, self.post_message)

    @work(thread=True, group="card")
    def watch_card(self) -> None:
        """Reads the run's card, or its worker on the CPU, until the screen goes."""
        follow_run_card(self._wanted_card, self.stopping, self.post_message)

    def _wanted_card(self) -> Wanted | None:
        worker = self.view.state.worker
        if worker is None:
            return None
        uuid = next(iter(worker.cards), None)
        return Wanted(self.view.pulse.pid, worker.device != "cpu", worker.card, uuid)

    @on(RunCardRead)
    def take_card(self, message: RunCardRead) -> None:
        """Hands the card's figures to the panes that show them."""
        self.query_one(TrainingView).show_card(message.reading)

    @on(RunNews)
    def take_news(self) -> None:
        """Folds in what the watch has read and shows it."""
        self.view = self._feed.opened() or self.view
        self.view.take(*self._feed.take())
        state = self.view.state
        begun = state.training is not None or state.baseline is not None or self.live == "baseline"
        if begun and not self._moved_on:
            self._moved_on = True
            self._open_view("training")
        elif self.query_one(ContentSwitcher).current is None:
            self._open_view("tuning")
        self._show()

    def _open_view(self, name: Place) -> None:
        """Shows a view; the focus doesn't stay on what is hidden then."""
        self.query_one(ContentSwitcher).current = name
        self.set_focus(None)

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

    def offers(self, action: Action) -> bool:
        if self.view.pulse.gone and action.needs:
            return False
        return action.id != "choose" or has_choice(self.view)

    def chosen_run(self) -> RunDir:
        return self._run

    def checkpoint_step(self) -> int | None:
        return self.view.state.checkpoint_step

    def trained_epochs(self) -> int:
        return self.view.state.trained_epochs

    def refused(self) -> ResumeRefused | None:
        return self.view.state.refused

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
        self._fill_with(None)
        self._open_view("tuning" if self.place == "training" else "training")
        self.call_after_refresh(self._show)

    def action_pane(self, number: int) -> None:
        """Shows or hides a pane; where one fills the screen, this one does instead."""
        training = self.query_one(TrainingView)
        pane = training.pane(number)
        if self.maximized:
            self._fill_with(None if self.maximized is pane else pane)
            return
        if not training.toggle(number):
            self.tell(say("pane.last"))
        elif pane.display:
            pane.focus()
        elif pane.has_focus:
            training.visible_panes()[0].focus()

    def action_maximize(self) -> None:
        """The pane in focus, or the first, on the whole screen, and back."""
        panes = self.query_one(TrainingView).visible_panes()
        chosen = next((pane for pane in panes if pane.has_focus), panes[0])
        self._fill_with(None if self.maximized else chosen)

    def _fill_with(self, pane: Pane | None) -> None:
        """Shows one pane on the whole screen, or all that are not hidden."""
        if self.maximized:
            self.minimize()
            self.query_one(TrainingView).show_panes()
        if pane is not None:
            pane.display = True
            self.maximize(pane, container=False)
            pane.focus()

    def action_misses(self) -> None:
        self.query_one(SamplesPane).switch_misses()

    def action_previous_photo(self) -> None:
        self.query_one(SamplesPane).move(-1)

    def action_next_photo(self) -> None:
        self.query_one(SamplesPane).move(1)

    def action_log_scale(self) -> None:
        self.query_one(TrainingView).switch_log_scale()

    def action_zoom_in(self) -> None:
        self.query_one(TrainingView).change_window(ChartWindow.zoomed_in)

    def action_zoom_out(self) -> None:
        self.query_one(TrainingView).change_window(ChartWindow.zoomed_out)

    def action_pan_left(self) -> None:
        self.query_one(TrainingView).change_window(ChartWindow.earlier)

    def action_pan_right(self) -> None:
        self.query_one(TrainingView).change_window(ChartWindow.later)

    def action_whole_chart(self) -> None:
        self.query_one(TrainingView).change_window(lambda _window, _last: ChartWindow())

    def action_back(self) -> None:
        if self.maximized:
            self._fill_with(None)
        else:
            self.dismiss()

    def action_detach(self) -> None:
        alive = self._run.worker_pid() is not None
        self.app.exit(self._run.id if alive else None)
