"""The list of runs, and the card above it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from core.events import FINAL_STATES, State
from core.run_dir import RunDir
from kocr_tui import format as fmt
from kocr_tui.actions import Action, bindings_for
from kocr_tui.messages import CardRead, Launched, LaunchFailed, RunsListed
from kocr_tui.reading.folder_watch import follow_card, follow_folder
from kocr_tui.screens.run_edits import RunEdits
from kocr_tui.strings import say
from kocr_tui.views.run_list import Order, in_order, matching, next_order, to_compare
from kocr_tui.views.run_row import RunRow
from kocr_tui.widgets.filter_line import FilterLine
from kocr_tui.widgets.runs_table import RunsTable


class HomeScreen(RunEdits):
    """Runs with what they do now; enter opens one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(["home"]),
        Binding("escape", "clear_filter", "", show=False),
    ]
    AUTO_FOCUS = "RunsTable"
    first_place = "home"

    def __init__(self, runs: Path, clock: Callable[[], float]) -> None:
        super().__init__()
        self._runs = runs
        self._clock = clock
        self._rows: tuple[RunRow, ...] | None = None
        self._listed: tuple[RunRow, ...] = ()
        self._unread = 0
        self._card = ""
        self._marks: set[str] = set()
        self._order: Order = "newest"
        self._seen = threading.Event()

    def body(self) -> ComposeResult:
        with Horizontal(id="home-top"):
            yield Static(say("home.title"), id="home-title", markup=False)
            yield Static("", id="home-card", markup=False)
            yield Static("", id="home-count", markup=False)
        yield FilterLine(id="home-filter")
        yield RunsTable(self._clock)
        yield Static(say("home.reading"), id="home-empty", markup=False)
        yield Static("", id="home-doing", markup=False)

    def on_mount(self) -> None:
        # What is read in threads would take the processor from the first paint.
        self.call_after_refresh(self.read_folder)
        self.call_after_refresh(self.read_card)
        self._ageing = self.set_interval(5.0, self._show)

    # Any message to a screen below another makes Textual send the upper one whole.
    def on_screen_suspend(self) -> None:
        self._seen.clear()
        self._ageing.pause()

    def on_screen_resume(self) -> None:
        self._seen.set()
        self._ageing.resume()
        self._show()

    @work(thread=True, group="watch")
    def read_folder(self) -> None:
        """Lists the runs until the screen goes."""
        follow_folder(self._runs, self.stopping, self._seen, self.post_message)

    @work(thread=True, group="card")
    def read_card(self) -> None:
        """Reads the card until the screen goes."""
        follow_card(self.stopping, self._seen, self.post_message)

    @on(RunsListed)
    def take_rows(self, message: RunsListed) -> None:
        self._rows, self._unread = message.rows, message.unread
        if not message.unread:
            self._marks &= {row.id for row in message.rows}
        self._show()

    @on(CardRead)
    def take_card(self, message: CardRead) -> None:
        self._card = message.line
        self._show()

    @on(FilterLine.Changed)
    def _show(self) -> None:
        """Draws what is known, unless another screen lies above and would be sent again."""
        if not self.is_active:
            return
        self._write("#home-card", self._card)
        if self._rows is None:
            return
        rows, filter_line = self._rows, self.query_one(FilterLine)
        self._listed = in_order(matching(rows, filter_line.words), self._order)
        table = self.query_one(RunsTable)
        table.show(self._listed, self._marks, self._order)
        table.display = bool(rows)
        filter_line.show(len(self._listed), len(rows))
        self.query_one("#home-empty").display = not rows
        self._write("#home-empty", self._empty())
        self._write("#home-count", self._count(rows))
        self.show_keys()

    def _write(self, where: str, text: str) -> None:
        """Writes where the text differs: every update is sent to the terminal."""
        line = self.query_one(where, Static)
        if line.content != text:
            line.update(text)

    def _empty(self) -> str:
        if self._unread:
            return say("home.reading")
        return say("home.empty", folder=fmt.visible(str(self._runs)))

    def _count(self, rows: tuple[RunRow, ...]) -> str:
        if self._unread:
            return say("home.reading_some", read=len(rows), count=len(rows) + self._unread)
        alive = sum(row.state not in FINAL_STATES for row in rows)
        count = say("home.count", count=len(rows), live=alive) if rows else ""
        return f"{count} · {say('home.marked', count=len(self._marks))}" if self._marks else count

    def offers(self, action: Action) -> bool:
        return bool(self._rows) or action.id not in {"filter", "sort"}

    def chosen_row(self) -> RunRow | None:
        return self.query_one(RunsTable).chosen() if self._rows else None

    @property
    def live(self) -> State | None:
        return row.state if (row := self.chosen_row()) else None

    def chosen_run(self) -> RunDir | None:
        return self._run_of(row.id) if (row := self.chosen_row()) else None

    def checkpoint_step(self) -> int | None:
        return row.checkpoint_step if (row := self.chosen_row()) else None

    def trained_epochs(self) -> int:
        return row.epochs if (row := self.chosen_row()) else 0

    def run_deleted(self, run_id: str) -> None:
        self._rows = tuple(row for row in self._rows or () if row.id != run_id)
        self._marks.discard(run_id)
        self._show()

    @on(RunsTable.RowHighlighted)
    def another_row(self) -> None:
        self.show_keys()

    @on(RunsTable.RowSelected)
    def action_open_run(self) -> None:
        if (row := self.chosen_row()) is not None:
            self.open_run(row.id)

    def open_run(self, run_id: str) -> None:
        """Shows a run; what only other screens need is imported when they are opened."""
        from kocr_tui.screens.run import RunScreen

        self.app.push_screen(RunScreen(self._run_of(run_id), self._clock))

    def _run_of(self, run_id: str) -> RunDir:
        return RunDir(self._runs / run_id)

    def action_new_run(self) -> None:
        from kocr_tui.screens.new_run import NewRunScreen

        self.app.push_screen(NewRunScreen(self._runs), self._new_run_left)

    def _new_run_left(self, run_id: str | None) -> None:
        if run_id is not None:
            self.open_run(run_id)

    def action_demo(self) -> None:
        self._doing(say("home.making_demo"))
        self.launch_demo(self._runs)

    def action_filter(self) -> None:
        if self._rows:
            self.query_one(FilterLine).open()

    def action_clear_filter(self) -> None:
        self.query_one(FilterLine).clear()

    @on(FilterLine.Left)
    def back_to_table(self) -> None:
        self.query_one(RunsTable).focus()

    def action_sort(self) -> None:
        self._order = next_order(self._order)
        self._show()

    def action_mark(self) -> None:
        """Marks the run or takes its mark away, and goes on to the next one."""
        if (row := self.chosen_row()) is None:
            return
        self._marks ^= {row.id}
        self._show()
        self.query_one(RunsTable).action_cursor_down()

    def action_compare(self) -> None:
        """Compares the marked runs; where that is one or none, with the one under the cursor."""
        if not self._rows:
            return
        marked = [row.id for row in in_order(self._rows, self._order) if row.id in self._marks]
        cursor = row.id if (row := self.chosen_row()) else None
        chosen = to_compare([row.id for row in self._listed], cursor, marked)
        if len(chosen) < 2:
            self.tell(say("home.one_run"), error=True)
            return
        from kocr_tui.screens.compare import CompareScreen

        runs = [self._run_of(run_id) for run_id in chosen]
        self.app.push_screen(CompareScreen(runs, self._clock))

    def _doing(self, text: str) -> None:
        doing = self.query_one("#home-doing", Static)
        doing.update(text)
        doing.display = bool(text)

    @on(Launched)
    def launched(self, message: Launched) -> None:
        self._doing("")
        if self.is_active:
            self.open_run(message.run_id)

    def say_launch_failed(self, message: LaunchFailed) -> None:
        self._doing("")
        super().say_launch_failed(message)
