"""The newest predictions, or the worst misses, against the truth; beside them a photo."""

import unicodedata
from difflib import SequenceMatcher

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from core.evaluate.text import SIMILAR
from core.events import FINAL_STATES, Prediction
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.prediction_list import PredictionList
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row
from kocr_tui.widgets.photo import Photo

DIFFERS = "bold reverse"
WIDE = 100
CURSOR_COLUMNS = 2


class SamplesPane(Pane):
    """One line a prediction: mark, truth, reply; the photo of the one under the cursor."""

    number = 5
    title_key = "samples.title"

    def __init__(self) -> None:
        super().__init__()
        self.list = PredictionList()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield SampleRows()
            yield Photo()

    def figures(self, view: RunView) -> object:
        newest = view.state.predicted
        return newest and newest.seq, len(view.state.predictions), view.live in FINAL_STATES

    def draw(self, view: RunView) -> None:
        newest = view.state.predicted
        self.list.take(view.state.predictions)
        self.set_title(self._detail(view))
        rows = self.query_one(SampleRows)
        if newest is None or not self.list.shown:
            none = Content(say("samples.no_misses"))
            rows.show_rows([waiting_row(view, "photos") if newest is None else none])
            self.query_one(Photo).show_photo("")
            return
        rows.show_list(self.list)
        self.query_one(Photo).show_photo(self.list.shown[self.list.cursor].image)

    def switch_misses(self) -> None:
        """Shows the worst misses instead of the newest predictions, or back."""
        self.list.switch()
        self.redraw()

    def move(self, by: int) -> None:
        """Moves the cursor down, or up where ``by`` is negative."""
        self.list.move(by)
        self.redraw()

    def go_to(self, index: int) -> None:
        """Moves the cursor to that row of the list."""
        self.move(index - self.list.cursor)

    def on_mouse_scroll_down(self) -> None:
        self.move(1)

    def on_mouse_scroll_up(self) -> None:
        self.move(-1)

    def _detail(self, view: RunView) -> str:
        if self.list.misses:
            return say("samples.misses", kept=len(view.state.predictions))
        newest = view.state.predicted
        if newest is None:
            return ""
        scope = say(f"scope.{newest.scope}")
        return say("samples.detail", scope=scope, done=newest.done, total=newest.total)


class SampleRows(Lines):
    """The part of the list around the cursor that there is room for."""

    DEFAULT_CSS = "SampleRows { width: 1fr; height: 1fr; }"
    _first = 0

    def show_list(self, predictions: PredictionList) -> None:
        """Draws the rows around the cursor."""
        room = max(1, self.size.height)
        last = max(0, len(predictions.shown) - room)
        cursor = predictions.cursor
        self._first = min(last, max(cursor - room + 1, min(self._first, cursor)))
        part = predictions.shown[self._first : self._first + room]
        self.show_rows(
            [self._row(one, index == cursor) for index, one in enumerate(part, start=self._first)]
        )

    def _row(self, one: Prediction, chosen: bool) -> Content:
        lead = ("▸ ", "bold $accent") if chosen else "  "
        line = prediction_line(one, self.size.width - CURSOR_COLUMNS)
        return ink.line(lead).append(line)

    def on_click(self, event: events.Click) -> None:
        self.query_ancestor(SamplesPane).go_to(self._first + event.y)


def prediction_line(one: Prediction, columns: int) -> Content:
    """``✓  82  truth  reply``: the mark, the similarity, and both texts side by side."""
    mark, style = mark_of(one)
    name = fmt.pad(fmt.visible(one.image.rsplit("/", 1)[-1]), 18) + " " if columns > WIDE else ""
    lead = f"{one.similarity:3.0f} "
    room = max(8, (columns - 2 - len(lead) - fmt.width(name) - 3) // 2)
    truth = fmt.visible(one.truth)
    if one.reply is None:
        reply = Content.styled(say("samples.no_reply"), "italic $text-muted")
        return ink.line((f"{mark} ", style), (lead, "$text-muted"), (name, "$text-muted"),
                        fmt.pad(truth, room), " → ").append(reply)  # fmt: skip
    left, right = marked(truth, fmt.visible(one.reply), plain=one.exact)
    return Content.assemble(
        (f"{mark} ", style), (lead, "$text-muted"), (name, "$text-muted"),
        _fit(left, room), (" → ", "$text-muted"), _fit(right, room),
    )  # fmt: skip


def mark_of(one: Prediction) -> tuple[str, str]:
    """A sign and a style: exact, the same once normalised, close, or wrong."""
    if one.exact:
        return "✓", "bold $success"
    if one.normalized:
        return "≈", "bold $success"
    return ("~", "bold $accent") if one.similarity >= SIMILAR else ("✗", "bold $error")


def marked(truth: str, reply: str, plain: bool = False) -> tuple[Content, Content]:
    """Both texts with what only one of them has in reverse."""
    if plain or unicodedata.normalize("NFC", truth) == reply:
        return Content(truth), Content(reply)
    left: list[ink.Piece] = []
    right: list[ink.Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, truth, reply, autojunk=False).get_opcodes():
        style = "" if kind == "equal" else DIFFERS
        left.append((truth[i:j], style))
        right.append((reply[k:m], style))
    return ink.line(*left), ink.line(*right)


def _fit(text: Content, columns: int) -> Content:
    """The text in exactly that many columns; a wide syllable that straddles the end goes."""
    kept = text.truncate(columns, ellipsis=True)
    return kept.append(" " * max(0, columns - kept.cell_length))
