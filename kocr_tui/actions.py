"""The one registry of actions: key bindings, key bar, help and command palette come from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

from core.events import FINAL_STATES, State
from kocr_tui.strings import say

Place = Literal["home", "new", "tuning", "training"]
RUN_VIEWS: tuple[Place, ...] = ("tuning", "training")
RESUMABLE: frozenset[State] = frozenset({"stopped", "aborted", "died", "failed"})
# Keys of the two-set Korean keyboard, for whoever forgot to switch the input method.
HANGUL_KEYS = dict(zip("sarpecqndt", "ㄴㅁㄱㅔㄷㅊㅂㅜㅇㅅ", strict=True))


@dataclass(frozen=True)
class Action:
    """Something the user can do: Textual's action, its key, and where it applies.

    ``needs`` says what the run must be for it: any, with a worker, or without one.
    """

    id: str
    key: str
    places: tuple[Place, ...]
    needs: Literal["", "worker", "resumable", "run"] = ""
    in_bar: bool = True
    action: str = ""

    @property
    def title(self) -> str:
        """A word or two, in the language in use."""
        return say(f"action.{self.id}.title")

    def title_for(self, live: State | None) -> str:
        """The title in the key bar: ``p`` continues a run that is paused."""
        if self.id == "pause" and live == "paused":
            return say("request.continue")
        return self.title

    @property
    def help(self) -> str:
        """One sentence, in the language in use."""
        return say(f"action.{self.id}.help")

    @property
    def key_label(self) -> str:
        """The key as people write it."""
        names = {"question_mark": "?", "escape": "esc", "enter": "↵", "1,2,3,4,5,6": "1–6"}
        return names.get(self.key, self.key.replace("ctrl+", "^"))

    def applies(self, live: State | None) -> bool:
        """Whether it makes sense for a run in that state (None: there is no run)."""
        if not self.needs:
            return True
        if live is None:
            return False
        if self.needs == "worker":
            return live not in FINAL_STATES
        return self.needs == "run" or live in RESUMABLE


_EVERYWHERE: tuple[Place, ...] = ("home", "new", *RUN_VIEWS)

ACTIONS: tuple[Action, ...] = (
    Action("open_run", "enter", ("home",), "run"),
    Action("new_run", "n", ("home",)),
    Action("demo", "d", ("home",)),
    Action("start", "ctrl+s", ("new",)),
    Action("stop", "s", ("home", *RUN_VIEWS), "worker"),
    Action("abort", "a", ("home", *RUN_VIEWS), "worker"),
    Action("resume", "r", ("home", *RUN_VIEWS), "resumable"),
    Action("pause", "p", RUN_VIEWS, "worker"),
    Action("evaluate", "e", ("training",), "worker"),
    Action("checkpoint", "c", ("training",), "worker"),
    Action("switch_view", "t", RUN_VIEWS),
    Action("back", "escape", ("new", *RUN_VIEWS)),
    Action("quit", "q", ("home",), action="app.quit"),
    Action("detach", "q", RUN_VIEWS),
    Action("pane", "1,2,3,4,5,6", ("training",)),
    Action("redraw", "ctrl+l", _EVERYWHERE, in_bar=False),
    Action("palette", "ctrl+p", _EVERYWHERE, in_bar=False, action="app.command_palette"),
    Action("help", "question_mark", ("home", *RUN_VIEWS)),
    Action("help_in_form", "f1", ("new",), action="help"),
)


def actions_at(place: Place) -> list[Action]:
    """The actions of a place, in the order of the key bar."""
    return [action for action in ACTIONS if place in action.places]


def bindings_for(places: Iterable[Place]) -> list[BindingType]:
    """Textual's bindings for the actions of these places; our own key bar shows them."""
    wanted = set(places)
    chosen = [action for action in ACTIONS if wanted & set(action.places)]
    return [binding for action in chosen for binding in _bindings(action)]


def _bindings(action: Action) -> list[Binding]:
    name = action.action or action.id
    if action.id == "pane":
        return [
            Binding(key, f"pane({key})", action.id, show=False, id=f"pane-{key}")
            for key in action.key.split(",")
        ]
    keys = ",".join(filter(None, (action.key, HANGUL_KEYS.get(action.key, ""))))
    return [Binding(keys, name, action.id, show=False, id=action.id)]
