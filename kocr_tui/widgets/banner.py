"""What is wrong, asked or over, in a few lines below the header; hidden when there is nothing."""

from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.views.notice import Notice
from kocr_tui.views.notices import notices
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.paragraph import Paragraph

MOST_ROWS = 8
MOST_ROWS_LOW = 3
HEADLINE_ROWS = 2
_SIDES = 2
_INDENT = "  "


class Banner(Paragraph):
    """The notices of a run, the most urgent first, as many as there is room for."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: Content | None = None
        self._view: RunView | None = None

    def show(self, view: RunView) -> None:
        """Draws where the lines differ; takes no room without any."""
        self._view = view
        rows = banner_rows(
            notices(view),
            self.app.size.width - _SIDES,
            MOST_ROWS_LOW if self.screen.has_class("-low") else MOST_ROWS,
        )
        content = ink.lines(rows) if rows else None
        if content != self._shown:
            self._shown = content
            self.display = content is not None
            self.update(content or "")

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def banner_rows(found: list[Notice], columns: int, most: int) -> list[Content]:
    """At most ``most`` rows of at most ``columns`` columns; what is less urgent falls off."""
    rows: list[Content] = []
    for notice in found:
        rows += _rows_of(notice, columns, most - len(rows))
    return rows


def _rows_of(notice: Notice, columns: int, room: int) -> list[Content]:
    """The headline, its details and what to do; details give way first, then what to do.

    A hint needs room beside all details, and is never there instead of any.
    """
    if room <= 0:
        return []
    inner = columns - len(_INDENT)
    head = _folded(notice.text, inner, min(HEADLINE_ROWS, room))
    remedy = _folded(notice.remedy, inner, 1) if notice.remedy and room > len(head) else []
    spare = room - len(head) - len(remedy)
    details = notice.detail[-spare:] if spare else ()
    hint = [fmt.cut(notice.hint, inner)] if notice.hint and spare > max(1, len(details)) else []
    style = f"bold ${notice.urgency}"
    marks = [f"{notice.mark} ", *[_INDENT] * (len(head) - 1)]
    return [
        *(ink.line((mark + row, style)) for mark, row in zip(marks, head, strict=True)),
        *(ink.line((f"  │ {fmt.cut(line, inner - 2)}", "$text-muted")) for line in details),
        *(ink.line(_INDENT + row) for row in (*hint, *remedy)),
    ]


def _folded(text: str, columns: int, most: int) -> list[str]:
    """``text`` in at most ``most`` rows, ended by an ellipsis where it was longer."""
    rows = [row.plain.rstrip() for row in Content(text).wrap(max(1, columns))]
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], fmt.cut(" ".join(rows[most - 1 :]), columns)]
