"""The newest predictions against the truth, with the syllables that differ marked."""

import unicodedata
from difflib import SequenceMatcher

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.evaluate.text import SIMILAR
from core.events import Prediction
from kocr_tui import format as fmt
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.pane import Pane

DIFFERS = "bold reverse"
WIDE = 100


class SamplesPane(Pane):
    """One line a prediction, the newest first: mark, truth, reply."""

    number = 5
    title_key = "samples.title"

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(say("pane.waiting"), id="samples-rows", markup=False)

    def figures(self, view: RunView) -> object:
        newest = view.state.predicted
        return newest and newest.seq, len(view.state.predictions)

    def draw(self, view: RunView) -> None:
        newest = view.state.predicted
        if newest is None:
            self.query_one("#samples-rows", Static).update(say("pane.waiting"))
            return
        scope = say(f"scope.{newest.scope}")
        self.set_title(say("samples.detail", scope=scope, done=newest.done, total=newest.total))
        room = self.content_size.width - 1
        rows = [prediction_line(one, room) for one in reversed(view.state.predictions)]
        self.query_one("#samples-rows", Static).update(ink.lines(rows))


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
