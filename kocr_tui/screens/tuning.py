"""The tuning view of a run: what is planned, what probes prove of it, and what else to choose."""

from functools import partial

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from core.errors import KocrError, one_line
from core.events import FINAL_STATES
from core.planning import PlannedSetup
from core.run_dir import RunDir
from kocr_tui import format as fmt
from kocr_tui.messages import LaunchFailed
from kocr_tui.plain.plan_report import checkpointing_name, gib
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.strings import say
from kocr_tui.views.choice import choose, wants_largest
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets.log import LogPane
from kocr_tui.widgets.memory_kinds import MemoryKinds
from kocr_tui.widgets.plan_table import PlanTable
from kocr_tui.widgets.probes import ProbesPane
from kocr_tui.widgets.tuning_phase import TuningPhase
from kocr_tui.widgets.why import WhyPane


class TuningView(VerticalScroll, can_focus=False):
    """Memory, probes and setups from top to bottom, each from when there is something to show."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._view: RunView | None = None
        self._choosing = False

    def compose(self) -> ComposeResult:
        yield Static(say("probe.title"), id="tuning-title", markup=False)
        yield TuningPhase()
        yield MemoryKinds()
        yield ProbesPane()
        yield Static("", id="plan-problem", markup=False)
        yield PlanTable()
        with Horizontal(id="tuning-texts"):
            yield LogPane("tuning-log")
            yield WhyPane()

    def show(self, view: RunView) -> None:
        """Hands the view to the parts."""
        self._view = view
        self.set_class(view.state.tuned is not None or view.live in FINAL_STATES, "-settled")
        self.query_one(TuningPhase).show(view)
        self.query_one(MemoryKinds).show(view)
        self.query_one(ProbesPane).show(view)
        self.query_one(PlanTable).show(view.pulse.plan)
        self.query_one(WhyPane).show(view)
        self.query_one(LogPane).show(view)
        self._show_problem(view.pulse.plan.problem)
        self._focus_table()

    def _show_problem(self, problem: str) -> None:
        line = self.query_one("#plan-problem", Static)
        line.display = bool(problem)
        line.update(f"! {fmt.visible(problem)}")

    def _focus_table(self) -> None:
        """Arrows move in the table unless something else of this view has been chosen."""
        table, focused = self.query_one(PlanTable), self.screen.focused
        if table.row_count and (focused is None or self not in focused.ancestors):
            table.focus(scroll_visible=False)

    @on(PlanTable.RowSelected)
    def choose(self) -> None:
        """Asks whether to train with the setup under the cursor, or says why that can't be."""
        view, setup = self._view, self.query_one(PlanTable).chosen()
        if view is None:
            return
        refusal = refused(view, setup, choosing=self._choosing)
        if refusal is not None or setup is None:
            self.notify(refusal or "", severity="warning", markup=False)
            return
        answered = partial(self._answered, view.run, setup)
        self.app.push_screen(ConfirmScreen(question(view, setup)), answered)

    def _answered(self, run: RunDir, setup: PlannedSetup, sure: bool | None) -> None:
        if sure:
            self._choosing = True
            self.notify(say("choice.doing", setup=name_of(setup)), markup=False)
            self._choose(run, setup, self.screen)

    @work(thread=True, group="choose")
    def _choose(self, run: RunDir, setup: PlannedSetup, screen: Screen[object]) -> None:
        """Tells ``screen`` what went wrong, which may be gone by then."""
        try:
            choose(run, setup)
        except (KocrError, OSError) as error:
            screen.post_message(LaunchFailed(one_line(error, run.path)))
        finally:
            self._choosing = False


def has_choice(view: RunView) -> bool:
    """Whether there is a setup that fits to choose, and it's not too late to."""
    fits = any(setup.feasible for setup in view.pulse.plan.setups)
    return fits and view.state.training is None


def refused(view: RunView, setup: PlannedSetup | None, *, choosing: bool) -> str | None:
    """Why a setup can't be chosen now, in one line; None where it can."""
    if view.state.training is not None:
        return say("choice.begun")
    if choosing:
        return say("choice.busy")
    if setup is None:
        return say("choice.none")
    if not setup.feasible:
        return say("choice.too_large", setup=name_of(setup), peak=gib(setup.peak_gib))
    if setup.chosen and (view.state.tuned is not None or view.live not in FINAL_STATES):
        return say("choice.same", setup=name_of(setup))
    return None


def question(view: RunView, setup: PlannedSetup) -> str:
    """What will happen to the worker, the config and the run."""
    worker = view.state.worker
    tune_only = worker is not None and worker.tune_only
    largest = view.config is not None and wants_largest(view.config)
    parts = [
        say("choice.question", setup=name_of(setup)),
        say("choice.leaves") if view.pulse.pid is not None else "",
        say("choice.searches" if largest else "choice.proves"),
        say("choice.then_waits" if tune_only else "choice.then_trains"),
    ]
    return " ".join(filter(None, parts))


def name_of(setup: PlannedSetup) -> str:
    """Weights, checkpointing and budget: ``bf16, checkpointing 1 in 4, 4.82 MP``."""
    return say(
        "choice.name",
        weights=fmt.visible(setup.weights),
        checkpointing=checkpointing_name(fmt.visible(setup.checkpointing)),
        budget=fmt.pixels(setup.max_pixels),
    )
