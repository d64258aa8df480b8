"""The keys that do something here and now, on one line."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.widgets import Static

from core.events import State
from kocr_tui.actions import Action, key_label
from kocr_tui.widgets import ink

Entry = tuple[Action, Content]
_GAP = "  "


class KeyBar(Static):
    """Shows the actions that make sense now; a click does one."""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(markup=False)
        self._actions = actions
        self._live: State | None = None
        self._shown: tuple[object, ...] = ()

    def show(self, actions: Sequence[Action], live: State | None) -> None:
        """Draws where the actions, the state or the width differ."""
        self._actions, self._live = actions, live
        wanted = (tuple(actions), live, self.content_size.width)
        if wanted != self._shown and self.content_size.width:
            self._shown = wanted
            self.update(key_line(actions, live, self.content_size.width))

    def on_resize(self) -> None:
        self.show(self._actions, self._live)

    async def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        action = action_at(entries(self._actions, self._live, self.content_size.width), at.x)
        if action is not None and action.id != "pane":
            await self.screen.run_action(action.called)


def entries(actions: Sequence[Action], live: State | None, columns: int) -> list[Entry]:
    """Those of the actions that fit, each with what is drawn of it; the last, help, always."""
    pieces = [(one, _piece(one, live)) for one in actions if one.in_bar]
    if not pieces:
        return []
    *others, last = pieces
    room = columns - last[1].cell_length + len(_GAP)
    fitting = []
    for entry in others:
        if entry[1].cell_length <= room:
            fitting.append(entry)
            room -= entry[1].cell_length
    return [*fitting, last]


def key_line(actions: Sequence[Action], live: State | None, columns: int) -> Content:
    """``n new  d demo  ? help``."""
    return ink.line(*(piece for _action, piece in entries(actions, live, columns)))


def action_at(shown: list[Entry], column: int) -> Action | None:
    """The action drawn at a column of the line, None right of the last one."""
    for action, piece in shown:
        if column < piece.cell_length:
            return action
        column -= piece.cell_length
    return None


def _piece(action: Action, live: State | None) -> Content:
    return ink.line((key_label(action), "bold $accent"), (f" {action.title_for(live)}{_GAP}", ""))
