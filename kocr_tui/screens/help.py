"""Help for where the user is, made from the registry of actions."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from kocr_tui import format as fmt
from kocr_tui.actions import Action, Place, actions_at, key_label
from kocr_tui.strings import say
from kocr_tui.widgets import ink

KEY_COLUMNS = 7


class HelpScreen(ModalScreen[None]):
    """What this place is for and which keys work in it; two columns where there is room."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,question_mark,q,ㅂ,f1,enter", "dismiss", ""),
    ]

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        actions = actions_at(self._place)
        half = (len(actions) + 1) // 2
        with VerticalScroll(id="help"):
            yield Static(say(f"help.about_{self._place}"), id="help-about", markup=False)
            with Horizontal(id="help-columns"):
                for part in (actions[:half], actions[half:]):
                    with Vertical(classes="help-column"):
                        yield from _rows(part)
            yield Static(say("help.settings"), id="help-settings", markup=False)

    def on_mount(self) -> None:
        panel = self.query_one("#help")
        panel.border_title = say(f"help.title_{self._place}")
        panel.border_subtitle = say("help.close")


def _rows(actions: Iterable[Action]) -> ComposeResult:
    for action in actions:
        with Horizontal(classes="help-row"):
            yield Static(key_and_title(action), classes="help-key", markup=False)
            yield Static(action.help, classes="help-text", markup=False)


def key_and_title(action: Action) -> Content:
    """``s    stop``."""
    key = fmt.pad(key_label(action), KEY_COLUMNS)
    return ink.line((key, "bold $accent"), (action.title, "bold"))
