"""A row of the new-run form: label, control, and what is to be said of the value."""

from collections.abc import Callable, Sequence
from typing import get_args

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from core.config import BadRows, Targets
from core.profile import Profile
from kocr_tui import format as fmt
from kocr_tui.reading.completion import Completion
from kocr_tui.strings import say
from kocr_tui.views.form import Field, Goal
from kocr_tui.widgets.offer_input import OfferRow

HINTS = {
    "name": "new.hint.name",
    "model.path": "new.hint.model",
    "data.train": "new.hint.rows",
    "data.validation": "new.hint.rows",
    "tune.max_pixels": "new.hint.pixels",
    "tune.hours": "new.hint.hours",
    "train.micro_batch_tokens": "new.hint.tokens",
    "validation.share": "new.hint.share",
    "data.root": "new.hint.root",
}
# Shorter words for a field that is empty, where the hint would be cut off.
_EMPTY = {
    "model.path": "new.empty.model",
    "data.train": "new.empty.rows",
    "data.validation": "new.empty.rows",
    "data.root": "new.empty.root",
}
_WORDS = {"data.bad_rows": BadRows, "tune.goal": Goal, "lora.targets": Targets}
_NAME_COLUMNS, _MEMORY_COLUMNS = 15, 9

Complete = Callable[[str], Completion]


class FormRow(Vertical):
    """A field; its reason or remark is beside short values and below long ones."""

    def __init__(
        self,
        field: Field,
        profiles: Sequence[Profile],
        complete: Complete | None,
        note: Callable[[str], str],
    ) -> None:
        super().__init__(classes="field")
        self.field = field
        self._profiles, self._complete, self._note_of = profiles, complete, note
        self._said = ("", False)
        below = field.kind in ("file", "folder", "model", "choice")
        self._note = Static("", markup=False, classes="below" if below else "note")

    def compose(self) -> ComposeResult:
        beside = self._note.has_class("note")
        with Horizontal(classes="line"):
            yield Static(say(f"new.field.{self.field.label_name}"), classes="label", markup=False)
            yield self._control()
            if beside:
                yield self._note
        if not beside:
            yield self._note

    def _control(self) -> Widget:
        field, widget_id = self.field, id_of(self.field.key)
        if field.kind == "choice":
            cards = field.key == "device.profile"
            options = cards_of(self._profiles) if cards else _words(field.key)
            return Select(
                options, value=field.default, allow_blank=False, id=widget_id, compact=True
            )
        key = _EMPTY.get(field.key) or HINTS.get(field.key)
        hint = say(key) if key is not None else ""
        if self._complete is None:
            return Input(field.default, placeholder=hint, id=widget_id, compact=True)
        return OfferRow(
            field.default,
            placeholder=hint,
            widget_id=widget_id,
            complete=self._complete,
            note=self._note_of,
        )

    def remark(self, text: str, *, wrong: bool = False) -> None:
        """Shows what is to be said of the value; nothing is drawn where it's the same."""
        if (text, wrong) != self._said:
            self._said = (text, wrong)
            self._note.set_class(wrong, "-wrong")
            self._note.update(fmt.visible(text))
            self._note.display = bool(text)


def id_of(key: str) -> str:
    """The id of a field's control."""
    return key.replace(".", "-").replace("_", "-")


def cards_of(profiles: Sequence[Profile]) -> list[tuple[str, str]]:
    """The choices of a card: what ``auto`` means, then a line for each profile."""
    auto = f"{fmt.pad('auto', _NAME_COLUMNS)} {say('new.profile_auto')}"
    return [(auto, "auto"), *((_card(profile), profile.name) for profile in profiles)]


def _card(profile: Profile) -> str:
    name = fmt.pad(fmt.visible(profile.name), _NAME_COLUMNS)
    memory = fmt.pad_left(f"{profile.memory_gib:g} GiB", _MEMORY_COLUMNS)
    return Content(f"{name} {memory}  {_gloss(profile)}").markup


def _gloss(profile: Profile) -> str:
    """What the card is, in a few words; its title where it's one of the user's own."""
    try:
        return say(f"new.card.{profile.name}")
    except KeyError:
        return fmt.visible(profile.title)


def _words(key: str) -> list[tuple[str, str]]:
    section = key.rpartition(".")[2]
    return [(say(f"new.{section}.{word}"), word) for word in get_args(_WORDS[key])]
