"""Rows of styled text that send only the cells that changed to the terminal."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from kocr_tui import format as fmt
from kocr_tui.widgets import ink


class Lines(Widget):
    """Shows rows as they are, cut at its width; it is as high as it has rows, at least one."""

    is_picture: ClassVar[bool] = False
    DEFAULT_CSS = "Lines { height: auto; text-wrap: nowrap; text-overflow: clip; }"

    def __init__(self, widget_id: str | None = None) -> None:
        super().__init__(id=widget_id)
        self._rows: list[Content] = []

    def show_rows(self, rows: Sequence[Content]) -> None:
        """Replaces the rows and repaints what differs from those on the screen."""
        before, self._rows = self._rows, list(rows)
        if len(before) != len(self._rows):
            self.refresh(layout=True)
            # Textual keeps the old height where this happens while it mounts the widget.
            self.clear_cached_dimensions()
            return
        changed = self._changed(self._strips(before), self._strips(self._rows))
        if changed:
            self.refresh(*changed)

    def plain_text(self) -> str:
        """The rows without their style; nothing of a picture."""
        if self.is_picture:
            return ""
        return "\n".join(row.plain for row in self._rows)

    def render(self) -> Content:
        return ink.lines(self._rows)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._rows))

    def _strips(self, rows: list[Content]) -> list[Strip]:
        width, height = self.size
        return Visual.to_strips(self, ink.lines(rows), width, height, self.visual_style)

    def _changed(self, before: list[Strip], after: list[Strip]) -> list[Region]:
        pairs = zip_longest(before, after, fillvalue=Strip.blank(self.size.width))
        found = ((row, changed_columns(old, new)) for row, (old, new) in enumerate(pairs))
        return [
            Region(span[0], row, span[1] - span[0], 1) for row, span in found if span is not None
        ]


def changed_columns(before: Strip, after: Strip) -> tuple[int, int] | None:
    """First column that differs and the one after the last; None where the strips are equal."""
    if before == after:
        return None
    old, new = _characters(before), _characters(after)
    if old == new:
        return None
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    start = fmt.width("".join(character for character, _style in new[:same]))
    end = max(before.cell_length, after.cell_length)
    if before.cell_length == after.cell_length:
        while len(old) > same and len(new) > same and old[-1] == new[-1]:
            end -= fmt.width(old.pop()[0])
            new.pop()
    return start, max(start + 1, end)


def _characters(strip: Strip) -> list[tuple[str, object]]:
    return [(character, segment.style) for segment in strip for character in segment.text]
