"""The table of runs; only cells that differ are written again."""

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.content import Content
from textual.widgets import DataTable

from kocr_tui import format as fmt
from kocr_tui.palette import STATE_MARKS
from kocr_tui.run_row import RunRow
from kocr_tui.strings import say
from kocr_tui.widgets import ink

ALWAYS = {"state": 12, "run": 0, "progress": 11, "speed": 5, "eta": 7, "accuracy": 14}
# Columns and their widths from a width of the table on; the run's column takes what is left.
LAYOUTS: tuple[tuple[int, dict[str, int]], ...] = (
    (150, {"state": 12, "run": 0, "model": 24, "data": 22, **ALWAYS, "age": 9}),
    (110, {"state": 12, "run": 0, "model": 12, "data": 14, **ALWAYS, "age": 8}),
    (0, ALWAYS),
)
RIGHT = {"progress", "speed", "eta", "age"}


class RunsTable(DataTable[Content]):
    """Runs by id; the cursor stays on its run when the list changes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(cursor_type="row", cell_padding=1, zebra_stripes=False)
        self._clock = clock
        self._rows: tuple[RunRow, ...] = ()
        self._cells: dict[tuple[str, str], Content] = {}
        self._widths: dict[str, int] = {}
        self._built: list[str] = []
        self._kept = ""

    def show(self, rows: tuple[RunRow, ...]) -> None:
        """Brings the table up to date."""
        ids = [row.id for row in rows]
        self._kept = chosen.id if (chosen := self.chosen()) else ""
        self._rows = rows
        if not self.size.width:
            return
        widths = column_widths(self.size.width)
        if widths != self._widths or ids != self._built:
            self._widths, self._built = widths, ids
            self._build()
        self._write()

    def chosen(self) -> RunRow | None:
        """The run under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def on_resize(self, _event: events.Resize) -> None:
        if self._rows:
            self.show(self._rows)

    def _build(self) -> None:
        kept = self._kept
        self.clear(columns=True)
        self._cells.clear()
        for name, columns in self._widths.items():
            title = say(f"home.column.{name}")
            title = fmt.pad_left(title, columns) if name in RIGHT else title
            self.add_column(Text(title), key=name, width=columns)
        for row in self._rows:
            self.add_row(*(Content("") for _ in self._widths), key=row.id)
        ids = [row.id for row in self._rows]
        self.move_cursor(row=ids.index(kept) if kept in ids else 0)

    def _write(self) -> None:
        now = self._clock()
        for row in self._rows:
            for name, columns in self._widths.items():
                cell = cell_of(row, name, now, columns)
                if self._cells.get((row.id, name)) != cell:
                    self._cells[row.id, name] = cell
                    self.update_cell(row.id, name, cell)


def column_widths(table: int) -> dict[str, int]:
    """The columns that a table of this width shows, and their widths."""
    widths = dict(next(columns for least, columns in LAYOUTS if table >= least))
    taken = sum(widths.values()) + 2 * len(widths) + 2
    widths["run"] = max(8, table - taken)
    return widths


def cell_of(row: RunRow, name: str, now: float, columns: int) -> Content:
    """What a column shows of a run."""
    if name == "state":
        mark, style = STATE_MARKS[row.state]
        slow = "!" if row.slow else ""
        text = fmt.cut(f"{mark} {say(f'state.{row.state}')}{slow}", columns)
        return ink.line((text, f"${style}"))
    text = fmt.visible(_plain(row, name, now, columns))
    return Content(fmt.pad_left(text, columns) if name in RIGHT else fmt.cut(text, columns))


def _plain(row: RunRow, name: str, now: float, columns: int) -> str:
    age = now - row.updated_at if row.updated_at else None
    return {
        "run": row.id if len(row.id) <= columns else row.name,
        "model": row.model,
        "data": row.data,
        "progress": f"{row.step}/{row.steps}" if row.steps else fmt.NOTHING,
        "speed": fmt.rate(row.samples_per_s),
        "eta": fmt.duration(row.eta_s),
        "accuracy": fmt.percent(row.normalized),
        "age": fmt.duration(age),
    }[name]
