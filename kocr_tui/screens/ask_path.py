"""Asks for a file to write, in one line."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kocr_tui.strings import say


class AskPathScreen(ModalScreen[str]):
    """Answers with the path that was typed; with None where the user leaves."""

    CSS_PATH = "ask_path.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "")]

    def __init__(self, question: str, path: str) -> None:
        super().__init__()
        self._question, self._path = question, path

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(self._question, markup=False)
            yield Input(self._path, compact=True, select_on_focus=False)
            yield Static(say("new.save.keys"), id="ask-keys", markup=False)

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        if path := event.value.strip():
            self.dismiss(path)
