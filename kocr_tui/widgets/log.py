"""What happened, line by line: state changes, checkpoints, rows set aside, warnings."""

import time
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import RichLog

from kocr_tui.views.run_view import KEPT_LINES, RunView
from kocr_tui.views.story import Line
from kocr_tui.widgets.pane import Pane

LEAD_COLUMNS = 11
MARKS = {"info": (" ", ""), "warning": ("!", "bold"), "error": ("✗", "bold")}


class LogPane(Pane):
    """Appends new lines; what is there is not drawn again."""

    number = 6
    title_key = "log.title"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("up", "scroll_log('up')", ""),
        ("down", "scroll_log('down')", ""),
        ("pageup", "scroll_log('page_up')", ""),
        ("pagedown", "scroll_log('page_down')", ""),
        ("home", "scroll_log('home')", ""),
        ("end", "scroll_log('end')", ""),
    ]

    def __init__(self, widget_id: str) -> None:
        super().__init__(widget_id)
        self._written = 0
        self._columns = 0

    def compose(self) -> ComposeResult:
        log = RichLog(
            max_lines=KEPT_LINES,
            min_width=1,
            wrap=True,
            highlight=False,
            markup=False,
            auto_scroll=False,
        )
        log.can_focus = False
        yield log

    def on_mount(self) -> None:
        # An anchor keeps the newest line in sight until the user scrolls away from it.
        self.query_one(RichLog).anchor()

    def on_resize(self, event: events.Resize) -> None:
        """Writes all lines again where they have another width to be wrapped at."""
        if event.size.width != self._columns:
            self._columns = event.size.width
            self._written = 0
            self.query_one(RichLog).clear()
        self.call_after_refresh(self.redraw)

    def figures(self, view: RunView) -> object:
        return view.line_count

    def draw(self, view: RunView) -> None:
        fresh = view.line_count - self._written
        self._written = view.line_count
        log = self.query_one(RichLog)
        for line in list(view.lines)[-fresh:] if fresh else []:
            log.write(log_row(line), expand=True)

    def plain_text(self) -> str:
        """All lines that are kept, unwrapped."""
        lines = self._view.lines if self._view is not None else ()
        return "\n".join(f"{clock_of(line)} {MARKS[line.level][0]} {line.text}" for line in lines)

    def action_scroll_log(self, to: str) -> None:
        """Scrolls by ``up``, ``down``, ``page_up`` and so on, as a list does."""
        getattr(self.query_one(RichLog), f"scroll_{to}")(animate=False)


def log_row(line: Line) -> Table:
    """``21:42:07 ! text``, wrapped below the text; a warning or an error has a mark and is bold."""
    mark, style = MARKS[line.level]
    row = Table.grid(expand=True)
    row.add_column(width=LEAD_COLUMNS)
    row.add_column(ratio=1, overflow="fold")
    row.add_row(Text.assemble((clock_of(line), "dim"), (f" {mark}", style)), Text(line.text, style))
    return row


def clock_of(line: Line) -> str:
    """Local time of day to the second."""
    return time.strftime("%H:%M:%S", time.localtime(line.time))
