"""The keys that do something here and now, on one line."""

from textual import events
from textual.content import Content
from textual.widgets import Static

from core.events import State
from kocr_tui.actions import Action, Place, actions_at, key_label
from kocr_tui.widgets import ink

Entry = tuple[Action, Content]


class KeyBar(Static):
    """Shows the actions of a place that apply to a run's state; a click does one."""

    def __init__(self, place: Place) -> None:
        super().__init__(markup=False)
        self._place = place
        self._live: State | None = None
        self._shown: tuple[object, ...] = ()

    def show(self, place: Place, live: State | None) -> None:
        """Draws where the place, the state or the width differ."""
        self._place, self._live = place, live
        wanted = (place, live, self.content_size.width)
        if wanted != self._shown and self.content_size.width:
            self._shown = wanted
            self.update(key_line(place, live, self.content_size.width))

    def on_resize(self) -> None:
        self.show(self._place, self._live)

    async def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        action = action_at(entries(self._place, self._live, self.content_size.width), at.x)
        if action is not None and action.id != "pane":
            await self.screen.run_action(action.called)


def entries(place: Place, live: State | None, columns: int) -> list[Entry]:
    """The actions that apply, as many as fit, each with what is drawn of it; help last."""
    actions = [one for one in actions_at(place) if one.in_bar and one.applies(live)]
    *others, last = [(action, _piece(action, live)) for action in actions]
    room = columns - last[1].cell_length
    fitting = []
    for entry in others:
        if entry[1].cell_length <= room:
            fitting.append(entry)
            room -= entry[1].cell_length
    return [*fitting, last]


def key_line(place: Place, live: State | None, columns: int) -> Content:
    """``n new run  d demo  ? help``."""
    return ink.line(*(piece for _action, piece in entries(place, live, columns)))


def action_at(shown: list[Entry], column: int) -> Action | None:
    """The action drawn at a column of the line, None right of the last one."""
    for action, piece in shown:
        if column < piece.cell_length:
            return action
        column -= piece.cell_length
    return None


def _piece(action: Action, live: State | None) -> Content:
    return ink.line((key_label(action), "bold $accent"), (f" {action.title_for(live)}  ", ""))
