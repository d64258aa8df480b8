"""The one registry of actions: key bindings, key bar, help and command palette come from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType, InvalidBinding

from core.events import FINAL_STATES, State
from kocr_tui.strings import say

Place = Literal["home", "new", "tuning", "training", "compare"]
PLACES: tuple[Place, ...] = ("home", "new", "tuning", "training", "compare")
RUN_VIEWS: tuple[Place, ...] = ("tuning", "training")
RESUMABLE: frozenset[State] = frozenset({"stopped", "aborted", "died", "failed"})
# The two-set Korean keyboard's letters, for whoever forgot to switch the input method.
HANGUL_KEYS = dict(
    zip(
        "qwertyuiopasdfghjklzxcvbnm",
        "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡ",
        strict=True,
    )
)
_WORDS = {
    "question_mark": "?", "slash": "/", "escape": "esc", "plus": "+", "minus": "-",
}  # fmt: skip
_GLYPHS = _WORDS | {
    "enter": "↵", "space": "␣", "left": "←", "right": "→", "up": "↑", "down": "↓",
}  # fmt: skip


@dataclass(frozen=True)
class Action:
    """Something the user can do: Textual's action, its keys, and where it applies.

    ``keys`` is a comma list of Textual's key names, the first of which is shown. ``needs`` says
    what the run must be for it: any, with a worker, without one, or there at all. ``action`` is
    what Textual calls it where the id isn't that.
    """

    id: str
    keys: str
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
    def called(self) -> str:
        """Textual's name of what is run."""
        return self.action or self.id

    def applies(self, live: State | None) -> bool:
        """Whether it makes sense for a run in that state (None: there is no run)."""
        if not self.needs:
            return True
        if live is None:
            return False
        if self.needs == "worker":
            return live not in FINAL_STATES
        return self.needs == "run" or live in RESUMABLE


_EVERYWHERE: tuple[Place, ...] = PLACES
_CHARTS: tuple[Place, ...] = ("training", "compare")

ACTIONS: tuple[Action, ...] = (
    Action("open_run", "enter", ("home",), "run"),
    Action("new_run", "n", ("home",)),
    Action("demo", "d", ("home",)),
    Action("start", "ctrl+s", ("new",)),
    Action("tune_only", "ctrl+t", ("new",)),
    Action("save_config", "ctrl+o", ("new",)),
    Action("choose", "enter", ("tuning",), "run"),
    Action("stop", "s", ("home", *RUN_VIEWS), "worker"),
    Action("resume", "r", ("home", *RUN_VIEWS), "resumable"),
    Action("pause", "p", RUN_VIEWS, "worker"),
    Action("evaluate", "e", ("training",), "worker"),
    Action("checkpoint", "c", ("training",), "worker"),
    Action("compare", "v", ("home",), "run"),
    Action("delete", "x,delete", ("home",), "run"),
    Action("filter", "slash", ("home",)),
    Action("switch_view", "t", RUN_VIEWS),
    Action("back", "escape", ("new", *RUN_VIEWS, "compare")),
    Action("quit", "q", ("home",), action="app.quit"),
    Action("detach", "q", (*RUN_VIEWS, "compare")),
    Action("abort", "a", ("home", *RUN_VIEWS), "worker"),
    Action("mark", "space", ("home",), "run"),
    Action("sort", "o", ("home",), in_bar=False),
    Action("rename", "m", ("home",), "run", in_bar=False),
    Action("pane", "1,2,3,4,5,6,7", ("training",)),
    Action("maximize", "f,enter", ("training",)),
    Action("misses", "m", ("training",), in_bar=False),
    Action("previous_photo", "k", ("training",), in_bar=False),
    Action("next_photo", "j", ("training",), in_bar=False),
    Action("measure", "m", ("compare",)),
    Action("log_scale", "l", _CHARTS, in_bar=False),
    Action("zoom_in", "plus,equals_sign", _CHARTS, in_bar=False),
    Action("zoom_out", "minus", _CHARTS, in_bar=False),
    Action("pan_left", "left", _CHARTS, in_bar=False),
    Action("pan_right", "right", _CHARTS, in_bar=False),
    Action("whole_chart", "0", _CHARTS, in_bar=False),
    Action("copy", "y", ("home", *RUN_VIEWS, "compare"), in_bar=False),
    Action("save_text", "w", ("home", *RUN_VIEWS, "compare"), in_bar=False),
    Action("redraw", "ctrl+l", _EVERYWHERE, in_bar=False),
    Action("palette", "ctrl+p", _EVERYWHERE, in_bar=False, action="app.command_palette"),
    Action("help", "question_mark", ("home", *RUN_VIEWS, "compare")),
    Action("help_in_form", "f1", ("new",), action="help"),
)
_SCREENS: tuple[tuple[Place, ...], ...] = (("home",), ("new",), RUN_VIEWS, ("compare",))
_keys: dict[str, str] = {}
_labels = _GLYPHS


def use_keys(chosen: Mapping[str, str]) -> dict[str, str]:
    """Takes the user's keys, action ids to comma lists of keys: ``{"stop": "ctrl+x,S"}``.

    Returns a keymap of Textual, empty where nothing was chosen. Raises ValueError for an id that
    isn't an action's, for an empty list, and for a key that means two things on one screen.
    """
    known = {action.id for action in ACTIONS if action.id != "pane"}
    for name in chosen:
        if name not in known:
            raise ValueError(f"{name}: no such action; known: {', '.join(sorted(known))}")
    _keys.clear()
    try:
        _keys.update((name, _long_names(name, keys)) for name, keys in chosen.items())
        _refuse_clashes(chosen)
    except ValueError:
        _keys.clear()
        raise
    # All of them, since Textual drops whatever shares a key with a binding that is replaced.
    return {one.id: _with_hangul(",".join(keys_of(one))) for one in ACTIONS if chosen}


def _long_names(name: str, keys: str) -> str:
    """Keys as Textual names them: ``question_mark`` for ``?``."""
    try:
        return ",".join(binding.key for binding in Binding.make_bindings([(keys, "")]))
    except InvalidBinding as error:
        raise ValueError(f"{name}: needs a key, or several between commas") from error


def _refuse_clashes(chosen: Mapping[str, str]) -> None:
    for places in _SCREENS:
        owners: dict[str, Action] = {}
        for action in (one for one in ACTIONS if set(places) & set(one.places)):
            for key in keys_of(action):
                other = owners.setdefault(key, action)
                shared = set(other.places) & set(action.places)
                if other is not action and (shared or {other.id, action.id} & set(chosen)):
                    mine, its = (action, other) if action.id in chosen else (other, action)
                    raise ValueError(f"{mine.id}: {key} is the key of {its.id} already")


def use_ascii_labels(wanted: bool) -> None:
    """Whether keys are labelled in ASCII, ``enter`` instead of ``↵``."""
    global _labels  # noqa: PLW0603 - one console a process, as with the language
    _labels = _WORDS if wanted else _GLYPHS


def keys_of(action: Action) -> list[str]:
    """The keys that do it, the user's where they chose some."""
    return [key.strip() for key in _keys.get(action.id, action.keys).split(",")]


def key_label(action: Action) -> str:
    """The first key as people write it."""
    if action.id == "pane":
        keys = action.keys.split(",")
        return f"{keys[0]}–{keys[-1]}"
    key = keys_of(action)[0]
    return _labels.get(key, key.replace("ctrl+", "^"))


def actions_at(place: Place) -> list[Action]:
    """The actions of a place, in the order of the key bar."""
    return [action for action in ACTIONS if place in action.places]


def bindings_for(places: Iterable[Place]) -> list[BindingType]:
    """Textual's bindings for the actions of these places; our own key bar shows them."""
    wanted = set(places)
    chosen = [action for action in ACTIONS if wanted & set(action.places)]
    return [binding for action in chosen for binding in _bindings(action)]


def _bindings(action: Action) -> list[Binding]:
    if action.id == "pane":
        return [
            Binding(key, f"pane({key})", action.id, show=False, id=f"pane-{key}")
            for key in action.keys.split(",")
        ]
    keys = _with_hangul(action.keys)
    return [Binding(keys, action.called, action.id, show=False, id=action.id)]


def _with_hangul(keys: str) -> str:
    """The keys, and the Korean letters that lie on them."""
    names = [key.strip() for key in keys.split(",")]
    return ",".join([*names, *(HANGUL_KEYS[name] for name in names if name in HANGUL_KEYS)])
