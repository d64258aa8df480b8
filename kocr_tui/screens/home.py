"""The list of runs, and the card above it."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from core.events import FINAL_STATES, State
from core.run_dir import RunDir
from kocr_tui.actions import bindings_for
from kocr_tui.messages import CardRead, Launched, LaunchFailed, RunsListed
from kocr_tui.run_row import RunRow
from kocr_tui.run_watch import follow_card, follow_folder
from kocr_tui.screens.controls import RunControls
from kocr_tui.screens.new_run import NewRunScreen
from kocr_tui.screens.run import RunScreen
from kocr_tui.strings import say
from kocr_tui.widgets.runs_table import RunsTable


class HomeScreen(RunControls):
    """Runs with what they do now; enter opens one."""

    CSS_PATH = "home.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(["home"])
    AUTO_FOCUS = "RunsTable"
    first_place = "home"

    def __init__(self, runs: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self._runs = runs
        self._clock = clock
        self._rows: tuple[RunRow, ...] | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="home-top"):
            yield Static(say("home.title"), id="home-title", markup=False)
            yield Static("", id="home-card", markup=False)
            yield Static("", id="home-count", markup=False)
        yield RunsTable(self._clock)
        yield Static(say("home.reading"), id="home-empty", markup=False)
        yield Static("", id="home-doing", markup=False)

    def on_mount(self) -> None:
        self.read_folder()
        self.read_card()
        self.set_interval(5.0, self._age)

    @work(thread=True, group="watch")
    def read_folder(self) -> None:
        """Lists the runs until the screen goes."""
        follow_folder(self._runs, self.stopping, self.post_message)

    @work(thread=True, group="card")
    def read_card(self) -> None:
        """Reads the card until the screen goes."""
        follow_card(self.stopping, self.post_message)

    @on(RunsListed)
    def show_rows(self, message: RunsListed) -> None:
        self._rows = message.rows
        table, empty = self.query_one(RunsTable), self.query_one("#home-empty", Static)
        table.show(message.rows)
        table.display = bool(message.rows)
        empty.display = not message.rows
        empty.update(say("home.empty", folder=self._runs))
        alive = sum(row.state not in FINAL_STATES for row in message.rows)
        count = say("home.count", count=len(message.rows), live=alive) if message.rows else ""
        self.query_one("#home-count", Static).update(count)
        self.show_keys()

    @on(CardRead)
    def show_card(self, message: CardRead) -> None:
        self.query_one("#home-card", Static).update(Content(message.line))

    def _age(self) -> None:
        if self._rows:
            self.query_one(RunsTable).show(self._rows)

    def _row(self) -> RunRow | None:
        return self.query_one(RunsTable).chosen() if self._rows else None

    @property
    def live(self) -> State | None:
        return row.state if (row := self._row()) else None

    def chosen_run(self) -> RunDir | None:
        return RunDir(self._runs / row.id) if (row := self._row()) else None

    def checkpoint_step(self) -> int | None:
        return row.checkpoint_step if (row := self._row()) else None

    @on(RunsTable.RowHighlighted)
    def another_row(self) -> None:
        self.show_keys()

    @on(RunsTable.RowSelected)
    def action_open_run(self) -> None:
        if (row := self._row()) is not None:
            self.open_run(row.id)

    def open_run(self, run_id: str) -> None:
        """Shows a run."""
        self.app.push_screen(RunScreen(RunDir(self._runs / run_id), self._clock))

    def action_new_run(self) -> None:
        self.app.push_screen(NewRunScreen(self._runs), self._new_run_left)

    def _new_run_left(self, run_id: str | None) -> None:
        if run_id is not None:
            self.open_run(run_id)

    def action_demo(self) -> None:
        self._doing(say("home.making_demo"))
        self.launch_demo(self._runs)

    def _doing(self, text: str) -> None:
        doing = self.query_one("#home-doing", Static)
        doing.update(text)
        doing.display = bool(text)

    @on(Launched)
    def launched(self, message: Launched) -> None:
        self._doing("")
        if self.is_current:
            self.open_run(message.run_id)

    def say_launch_failed(self, message: LaunchFailed) -> None:
        self._doing("")
        super().say_launch_failed(message)
