"""A text field that completes what is typed, and lists what it could become."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester, SuggestionReady
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from kocr_tui import format as fmt
from kocr_tui.reading.completion import Completion

Complete = Callable[[str], Completion]
_NAME_COLUMNS = 28


class _FromDisk(Suggester):
    """Completes in a thread, since folders may be slow to read."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        best = (await asyncio.to_thread(self._complete, value)).best
        return best if best and best.startswith(value) else None


class OfferInput(Input):
    """Tab and right take the completion in grey; down opens the list, enter takes from it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "take", show=False),
        Binding("down", "next_offer(1)", show=False),
        Binding("up", "next_offer(-1)", show=False),
        Binding("escape", "close_offers", show=False),
    ]

    def __init__(self, value: str, *, placeholder: str, widget_id: str, complete: Complete) -> None:
        super().__init__(
            value,
            placeholder=placeholder,
            id=widget_id,
            compact=True,
            suggester=_FromDisk(complete),
            select_on_focus=False,
        )
        self._ready: tuple[str, str] = ("", "")

    @property
    def row(self) -> "OfferRow":
        """The row that has the list."""
        assert isinstance(self.parent, OfferRow)
        return self.parent

    def on_suggestion_ready(self, event: SuggestionReady) -> None:
        self._ready = (event.value, event.suggestion)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Lets keys that mean nothing here reach the screen."""
        if action == "take":
            return self.cursor_at_end and self._ready[0] == self.value != self._ready[1]
        if action == "close_offers":
            return self.row.is_open
        if action == "next_offer":
            return parameters == (1,) or self.row.is_open
        return super().check_action(action, parameters)

    def action_take(self) -> None:
        self.row.take(self._ready[1])

    async def action_next_offer(self, step: int) -> None:
        await self.row.move(step)

    def action_close_offers(self) -> None:
        self.row.close()

    async def action_submit(self) -> None:
        """Takes what is marked in the open list, else leaves the field."""
        if not self.row.take_marked():
            await super().action_submit()


class OfferRow(Vertical):
    """The field and its list, which lies over what is below it."""

    def __init__(
        self,
        value: str,
        *,
        placeholder: str,
        widget_id: str,
        complete: Complete,
        note: Callable[[str], str] = lambda _match: "",
    ) -> None:
        super().__init__(classes="offer-row")
        self._complete, self._note = complete, note
        self._matches: tuple[str, ...] = ()
        self._input = OfferInput(
            value, placeholder=placeholder, widget_id=widget_id, complete=complete
        )

    def compose(self) -> ComposeResult:
        yield self._input
        offers = OptionList(classes="offers", compact=True)
        offers.can_focus = False
        yield offers

    @property
    def is_open(self) -> bool:
        """Whether the list shows."""
        return bool(self.query_one(OptionList).display)

    async def move(self, step: int) -> None:
        """Opens the list, or moves the mark in it."""
        offers = self.query_one(OptionList)
        if self.is_open:
            offers.action_cursor_down() if step > 0 else offers.action_cursor_up()
            return
        matches = (await asyncio.to_thread(self._complete, self._input.value)).matches
        if matches:
            self._fill(matches)
            offers.display = True

    def take(self, text: str) -> None:
        """Puts a text into the field and closes the list."""
        self.close()
        self._input.value = text
        self._input.cursor_position = len(text)

    def take_marked(self) -> bool:
        """Takes what is marked in the list; False where it's closed."""
        marked = self.query_one(OptionList).highlighted
        if not self.is_open or marked is None:
            return False
        self.take(self._matches[marked])
        return True

    def close(self) -> None:
        """Hides the list."""
        self.query_one(OptionList).display = False

    @on(Input.Changed)
    @on(Input.Blurred)
    def typed_or_left(self) -> None:
        self.close()

    @on(OptionList.OptionSelected)
    def clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.take(self._matches[event.option_index])

    def _fill(self, matches: tuple[str, ...]) -> None:
        self._matches = matches
        offers = self.query_one(OptionList)
        offers.clear_options()
        offers.add_options([Option(self._shown(match)) for match in matches])
        offers.highlighted = 0

    def _shown(self, match: str) -> Content:
        note = self._note(match)
        name = fmt.visible(match)
        return Content(f"{fmt.pad(name, _NAME_COLUMNS)}  {note}" if note else name)
