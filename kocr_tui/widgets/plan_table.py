"""The setups of a plan as a table to look at and to choose from; the choice is marked."""

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.content import Content
from textual.widgets import DataTable

from core.planning import PlannedSetup
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import setup_figures, setup_names
from kocr_tui.reading.plan_watch import NO_PLAN, PlanNews, identity
from kocr_tui.strings import say
from kocr_tui.widgets import ink

_FIGURES = ("budget", "tokens", "shrunk", "peak", "headroom", "speed", "hours")
# What is left out first where there is no room for all.
_SPARED = ("shrunk", "headroom", "tokens")


class PlanTable(DataTable[Content]):
    """The best setup first; the cursor stays on its setup when the plan changes."""

    def __init__(self) -> None:
        super().__init__(id="plan-table", cursor_type="row", header_height=2, classes="pane")
        self.border_title = say("tuning.table")
        self._plan = NO_PLAN
        self._setups: tuple[PlannedSetup, ...] = ()
        self._built: object = None

    def show(self, plan: PlanNews) -> None:
        """Builds the table anew where the plan or the room for it differs."""
        self._plan = plan
        self.display = bool(plan.setups)
        room = self.content_size.width
        wanted = (plan.setups, plan.rows, room)
        if room and wanted != self._built:
            self._built = wanted
            self._build(plan.setups, plan.rows, room)

    def chosen(self) -> PlannedSetup | None:
        """The setup under the cursor."""
        known = 0 <= self.cursor_row < len(self._setups)
        return self._setups[self.cursor_row] if known else None

    def on_resize(self, _event: events.Resize) -> None:
        self.show(self._plan)

    def _build(self, setups: tuple[PlannedSetup, ...], rows: int | None, room: int) -> None:
        kept = self.chosen()
        names, figures = name_cells(setups), figure_cells(setups, rows, room)
        self.clear(columns=True)
        for column in (names, *figures):
            # The header is two lines high, and so is every head.
            self.add_column(Text(column[0]), width=max(map(fmt.width, column[0].split("\n"))))
        for number, setup in enumerate(setups, start=1):
            cells = (column[number] for column in (names, *figures))
            self.add_row(*(ink.line((cell, row_style(setup))) for cell in cells))
        self._setups = setups
        places = [identity(setup) for setup in setups]
        stays = kept is not None and identity(kept) in places
        self.move_cursor(row=places.index(identity(kept)) if kept and stays else 0)


def row_style(setup: PlannedSetup) -> str:
    """The choice stands out, what can't be chosen steps back."""
    if setup.chosen:
        return "bold $success"
    return "" if setup.feasible else "$secondary"


def name_cells(setups: Sequence[PlannedSetup]) -> list[str]:
    """The head and, for each setup, its mark and name: ``▸ bf16 1 in 4``; all equally wide."""
    marks = ["▸" if one.chosen else " " if one.feasible else "✗" for one in setups]
    names = [f"{mark} {name}" for mark, name in zip(marks, setup_names(setups), strict=True)]
    several = len({(setup.rank, setup.targets) for setup in setups}) > 1
    head = [f"  {part}" for part in say(f"plan.head.{'lora' if several else 'setup'}").split("|")]
    columns = max(map(fmt.width, (*head, *names)))
    padded = [fmt.pad(line, columns) for line in (*head, *map(fmt.visible, names))]
    return ["\n".join(padded[:2]), *padded[2:]]


def figure_cells(setups: Sequence[PlannedSetup], rows: int | None, room: int) -> list[list[str]]:
    """Columns that fit beside the names in ``room``, each a head and a figure for each setup."""
    figures = [setup_figures(setup, rows) for setup in setups]
    columns = {
        name: _right(_head(name, rows), [row[place] for row in figures])
        for place, name in enumerate(_FIGURES)
    }
    for spared in _SPARED:
        if _width(name_cells(setups)) + sum(map(_width, columns.values())) > room:
            del columns[spared]
    return list(columns.values())


def _head(name: str, rows: int | None) -> list[str]:
    return say(
        "plan.head.hours_rows" if name == "hours" and rows is None else f"plan.head.{name}"
    ).split("|")


def _right(head: list[str], figures: list[str]) -> list[str]:
    columns = max(map(fmt.width, (*head, *figures)))
    padded = [fmt.pad_left(text, columns) for text in (*head, *figures)]
    return ["\n".join(padded[:2]), *padded[2:]]


def _width(column: Sequence[str]) -> int:
    """Columns of a table's column with a space on both sides."""
    return fmt.width(column[1]) + 2
