"""The table of runs; only cells that differ are written again."""

import time
from collections.abc import Callable, Collection
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable

from core.evaluate.text import Score
from kocr_tui import format as fmt
from kocr_tui.look.palette import STATE_MARKS
from kocr_tui.strings import say
from kocr_tui.views.run_list import SORTED_COLUMN, Order
from kocr_tui.views.run_row import RunRow
from kocr_tui.widgets import ink

MARK = "●"
SORTED = "▼"
STATE = {"state": 13}
FIGURES = {"speed": 6, "eta": 7, "accuracy": 14}
# Columns and their widths from a width of the table on; the run's column takes what is left.
LAYOUTS: tuple[tuple[int, dict[str, int]], ...] = (
    (
        185,
        {
            **STATE,
            "run": 0,
            "started": 19,
            "model": 24,
            "data": 23,
            "profile": 14,
            "progress": 13,
            **FIGURES,
            "scope": 9,
            "age": 7,
        },
    ),
    (
        145,
        {
            **STATE,
            "run": 0,
            "started": 11,
            "model": 16,
            "data": 16,
            "profile": 9,
            "progress": 11,
            **FIGURES,
            "scope": 9,
            "age": 7,
        },
    ),
    (
        115,
        {
            **STATE,
            "run": 0,
            "started": 11,
            "model": 13,
            "data": 14,
            "progress": 10,
            **FIGURES,
        },
    ),
    (96, {**STATE, "run": 0, "started": 11, "model": 13, "progress": 9, **FIGURES}),
    (78, {**STATE, "run": 0, "started": 11, "progress": 8, **FIGURES}),
    (0, {"state": 12, "run": 0, "started": 11, "progress": 8, "accuracy": 14}),
)
RIGHT = {"progress", "speed", "eta", "age"}
_LEFT_EDGE = 1
_SCROLLBAR = 1
_YEAR_COLUMNS = 19


class RunsTable(DataTable[Content]):
    """Runs by id; the cursor stays on its run when the list changes.

    A line of the table is a place and not a run, so that another order writes cells again and
    neither builds the table anew nor scrolls it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "", show=False),
        Binding("end", "scroll_bottom", "", show=False),
    ]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(cursor_type="row", cell_padding=0, zebra_stripes=False)
        self._clock = clock
        self._rows: tuple[RunRow, ...] = ()
        self._marks: Collection[str] = ()
        self._order: Order = "newest"
        self._cells: dict[tuple[int, str], Content] = {}
        self._widths: dict[str, int] = {}
        self._heads: list[str] = []

    def show(
        self, rows: tuple[RunRow, ...], marks: Collection[str] = (), order: Order = "newest"
    ) -> None:
        """Brings the table up to date; the ids in ``marks`` get a mark, ``order`` its column."""
        kept, line = self.chosen(), self.cursor_row
        self._rows, self._marks, self._order = rows, marks, order
        if not self.size.width:
            return
        self._build()
        self._write()
        ids = [row.id for row in rows]
        to = ids.index(kept.id) if kept and kept.id in ids else min(line, len(ids) - 1)
        if to != self.cursor_row and to >= 0:
            self.move_cursor(row=to)

    def chosen(self) -> RunRow | None:
        """The run under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def on_resize(self, _event: events.Resize) -> None:
        if self._rows:
            self.show(self._rows, self._marks, self._order)

    def _build(self) -> None:
        """Makes columns for the width and lines for the runs where they differ."""
        widths = column_widths(self.size.width)
        heads = [
            head_of(name, columns, self._order, self._edge(name))
            for name, columns in widths.items()
        ]
        if (heads, widths) != (self._heads, self._widths):
            self._heads, self._widths = heads, widths
            self.clear(columns=True)
            self._cells.clear()
            for (name, columns), head in zip(widths.items(), heads, strict=True):
                self.add_column(Text(head), key=name, width=columns + 1 + self._edge(name))
        elif len(self._rows) < self.row_count:
            self.clear()
            self._cells.clear()
        for line in range(self.row_count, len(self._rows)):
            self.add_row(*(Content("") for _ in widths), key=str(line))

    def _write(self) -> None:
        now = self._clock()
        for line, row in enumerate(self._rows):
            for name, columns in self._widths.items():
                cell = cell_of(row, name, now, columns)
                if name == "run" and self._marks:
                    cell = _marked(row, columns, row.id in self._marks)
                cell = Content(" " * self._edge(name)).append(cell)
                if self._cells.get((line, name)) != cell:
                    self._cells[line, name] = cell
                    self.update_cell(str(line), name, cell)

    def _edge(self, name: str) -> int:
        return _LEFT_EDGE if name == "state" else 0


def column_widths(table: int) -> dict[str, int]:
    """The columns that a table of this width shows, and their widths."""
    widths = dict(next(columns for least, columns in LAYOUTS if table >= least))
    taken = sum(widths.values()) + len(widths) + _LEFT_EDGE + _SCROLLBAR
    widths["run"] = max(8, table - taken)
    return widths


def head_of(name: str, columns: int, order: Order, edge: int) -> str:
    """The title of a column, with a mark where the runs are sorted by it."""
    title = say(f"home.column.{name}")
    if SORTED_COLUMN[order] == name:
        title = f"{title}{SORTED}" if fmt.width(title) + 2 > columns else f"{title} {SORTED}"
    return " " * edge + (fmt.pad_left(title, columns) if name in RIGHT else title)


def cell_of(row: RunRow, name: str, now: float, columns: int) -> Content:
    """What a column shows of a run."""
    if name == "state":
        mark, style = ("!", "warning") if row.slow else STATE_MARKS[row.state]
        text = fmt.cut(f"{mark} {say(f'state.{row.state}')}", columns)
        return ink.line((text, f"${style}"))
    text = fmt.visible(_plain(row, name, now, columns))
    if name in {"run", "data"}:
        return Content(fmt.cut_middle(text, columns))
    return Content(fmt.pad_left(text, columns) if name in RIGHT else fmt.cut(text, columns))


def _marked(row: RunRow, columns: int, marked: bool) -> Content:
    name = fmt.cut_middle(fmt.visible(row.name), columns - 2)
    return ink.line((f"{MARK} " if marked else "  ", "$accent"), name)


def _plain(row: RunRow, name: str, now: float, columns: int) -> str:
    age = now - row.updated_at if row.updated_at else None
    return {
        "run": row.name,
        "started": _moment(row.started_at, columns),
        "model": row.model,
        "data": row.data,
        "profile": row.profile,
        "progress": _progress(row, columns),
        "speed": fmt.rate(row.samples_per_s),
        "eta": fmt.duration(row.eta_s),
        "accuracy": _accuracy(row.normalized),
        "scope": say(f"scope.{row.scope}") if row.scope else "",
        "age": fmt.duration(age),
    }[name]


def _moment(seconds: float | None, columns: int) -> str:
    if seconds is None:
        return fmt.NOTHING
    form = "%Y-%m-%d %H:%M:%S" if columns >= _YEAR_COLUMNS else "%m-%d %H:%M"
    return time.strftime(form, time.localtime(seconds))


def _progress(row: RunRow, columns: int) -> str:
    """``120/400``, or ``30.0 %`` where there is no room for all figures."""
    if not row.steps:
        return fmt.NOTHING
    whole = f"{row.step}/{row.steps}"
    return whole if len(whole) <= columns else f"{row.step / row.steps * 100:.1f} %"


def _accuracy(score: Score | None) -> str:
    """``63.5 [57–69]``: the unit is in the column's title."""
    if score is None or score.value is None:
        return fmt.NOTHING
    return f"{score.value * 100:.1f} [{score.low * 100:.0f}–{score.high * 100:.0f}]"
