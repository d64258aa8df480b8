"""Asks for a run's name in one line, and says beside it why it can't be taken."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kocr_tui.strings import say


class AskNameScreen(ModalScreen[str]):
    """Answers with the name that was typed; with None where the user leaves.

    ``problem`` says why a name can't be taken, None where it can.
    """

    CSS_PATH = "ask_name.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "")]

    def __init__(self, question: str, name: str, problem: Callable[[str], str | None]) -> None:
        super().__init__()
        self._question, self._name, self._problem = question, name, problem

    def compose(self) -> ComposeResult:
        field = Input(self._name, compact=True, select_on_focus=False)
        field.cursor_blink = False
        with Vertical(id="ask-name"):
            yield Static(self._question, markup=False)
            with Horizontal(id="ask-name-row"):
                yield field
                yield Static("", id="ask-name-note", markup=False)
            yield Static(say("home.rename.keys"), id="ask-name-keys", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        reason = self._problem(event.value.strip())
        self.query_one("#ask-name-note", Static).update(f"✗ {reason}" if reason else "")

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if self._problem(name) is None:
            self.dismiss(name)
