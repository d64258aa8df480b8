"""The keys that do something here and now, on one line."""

from textual.content import Content
from textual.widgets import Static

from core.events import State
from kocr_tui.actions import Action, Place, actions_at, key_label
from kocr_tui.widgets import ink


class KeyBar(Static):
    """Shows the actions of a place that apply to a run's state, as many as fit; help last."""

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


def key_line(place: Place, live: State | None, columns: int) -> Content:
    """``n new run  d demo  ? help``."""
    actions = [one for one in actions_at(place) if one.in_bar and one.applies(live)]
    pieces = [_piece(action, live) for action in actions]
    last = pieces.pop()
    room = columns - last.cell_length
    line = Content("")
    for piece in pieces:
        if line.cell_length + piece.cell_length <= room:
            line = line.append(piece)
    return line.append(last)


def _piece(action: Action, live: State | None) -> Content:
    return ink.line((key_label(action), "bold $accent"), (f" {action.title_for(live)}  ", ""))
