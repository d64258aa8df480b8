"""Asks for one line of text, and says beside it why it can't be taken."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AskTextScreen(ModalScreen[str]):
    """Answers with the text that was typed; with None where the user leaves.

    ``keys`` says what the keys do. ``problem`` says why a text can't be taken, None where it can.
    """

    CSS_PATH = "ask_text.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "")]

    def __init__(
        self, question: str, text: str, keys: str, problem: Callable[[str], str | None]
    ) -> None:
        super().__init__()
        self._question, self._text, self._keys, self._problem = question, text, keys, problem

    def compose(self) -> ComposeResult:
        field = Input(self._text, compact=True, select_on_focus=False)
        field.cursor_blink = False
        with Vertical(id="ask"):
            yield Static(self._question, markup=False)
            with Horizontal(id="ask-row"):
                yield field
                yield Static("", id="ask-note", markup=False)
            yield Static(self._keys, id="ask-keys", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        reason = self._problem(event.value.strip())
        self.query_one("#ask-note", Static).update(f"✗ {reason}" if reason else "")

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if self._problem(text) is None:
            self.dismiss(text)
