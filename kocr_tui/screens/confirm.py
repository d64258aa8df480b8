"""One question before something that ends a run."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kocr_tui.strings import say
from kocr_tui.widgets import ink


class ConfirmScreen(ModalScreen[bool]):
    """Answers True for y, False for n or escape."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y,ㅛ", "answer(True)", ""),
        ("n,ㅜ,escape,q", "answer(False)", ""),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(id="confirm"):
            yield Static(self._question, markup=False)
            answers = ink.line((say("confirm.yes"), "bold $accent"), "      ", say("confirm.no"))
            yield Static(answers, id="confirm-keys", markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
