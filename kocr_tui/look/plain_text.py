"""What a part of the screen says, as plain text to copy or to save."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, RichLog, Select, Static

from kocr_tui import format as fmt


@runtime_checkable
class TellsItsText(Protocol):
    """A widget that knows better than ``text_of`` what there is to copy of it."""

    def plain_text(self) -> str:
        """Its text, a line a row."""


def text_of(widget: Widget) -> str:
    """All text of a widget and of what is shown in it, also what is scrolled out of sight.

    A border's title is the first line. Control characters are made visible.
    """
    lines = [fmt.visible(line).rstrip() for line in _lines(widget)]
    return "\n".join(lines).strip("\n") + "\n"


def _lines(widget: Widget) -> Iterator[str]:
    if title := widget.border_title:
        yield Content.from_markup(title).plain
    if isinstance(widget, TellsItsText):
        yield from widget.plain_text().splitlines()
    elif isinstance(widget, Static):
        yield from _plain(widget.content).splitlines()
    elif isinstance(widget, RichLog):
        yield from (strip.text for strip in widget.lines)
    elif isinstance(widget, DataTable):
        yield from _table(widget)
    elif isinstance(widget, (Input, Select)):
        yield str(widget.value)
    else:
        yield from _children(widget)


def _children(widget: Widget) -> Iterator[str]:
    """The lines of the children, beside each other where each has but one."""
    parts = [list(_lines(child)) for child in widget.displayed_children]
    if isinstance(widget, Horizontal) and all(len(part) <= 1 for part in parts):
        yield "  ".join(line.strip() for part in parts for line in part if line.strip())
    else:
        yield from (line for part in parts for line in part)


def _table(table: DataTable[object]) -> Iterator[str]:
    """The heading and the rows, columns as wide as what is in them."""
    columns = table.ordered_columns
    rows = [[_plain(column.label) for column in columns]]
    rows += [[_plain(cell) for cell in table.get_row(row.key)] for row in table.ordered_rows]
    widths = [max(fmt.width(row[at]) for row in rows) for at in range(len(columns))]
    for row in rows:
        yield "  ".join(fmt.pad(cell, width) for cell, width in zip(row, widths, strict=True))


def _plain(content: object) -> str:
    return str(getattr(content, "plain", content))
