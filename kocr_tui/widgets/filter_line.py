"""The line in which words are typed that the listed runs must have."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from kocr_tui import format as fmt
from kocr_tui.strings import say

SHOWN_COLUMNS = 30


class WordsInput(Input):
    """Goes on to the list with enter or the arrow down."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("down", "submit", "", show=False)]


class FilterLine(Vertical):
    """An input while words are typed, and how many runs have them for as long as they count."""

    class Changed(Message):
        """Other words are to be had from ``words``."""

    class Left(Message):
        """The user has typed all words, or wants none."""

    def compose(self) -> ComposeResult:
        words = WordsInput(placeholder=say("home.filter.hint"), compact=True, id="filter-words")
        words.cursor_blink = False
        yield words
        yield Static("", id="filter-matches", markup=False)

    @property
    def words(self) -> str:
        """What was typed."""
        return self._input.value.strip()

    def open(self) -> None:
        """Takes words from the keyboard."""
        self._input.display = True
        self._input.focus()

    def clear(self) -> None:
        """Wants no words any more."""
        self._input.value = ""
        self._leave()

    def show(self, found: int, count: int) -> None:
        """Says how many runs have the words, where there are words."""
        line = self.query_one("#filter-matches", Static)
        line.display = bool(self.words)
        words = fmt.cut(fmt.visible(self.words), SHOWN_COLUMNS)
        text = say("home.filter.matches", found=found, count=count, words=words)
        if line.content != text:
            line.update(text)

    @on(Input.Changed)
    def other_words(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def done(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave()

    def _leave(self) -> None:
        self._input.display = False
        self.post_message(self.Left())

    @property
    def _input(self) -> WordsInput:
        return self.query_one(WordsInput)
