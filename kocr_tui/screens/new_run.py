"""The form that makes a run: checked as it is typed, usable with the keyboard alone."""

from pathlib import Path
from typing import ClassVar, get_args

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantFocus
from textual.widgets import Button, Input, Select, Static

from core.config import Targets
from core.errors import UsageError
from core.profile import Profile, list_profiles
from kocr_tui.actions import bindings_for
from kocr_tui.form import FIELDS, Field, config_of, problem
from kocr_tui.messages import Launched, LaunchFailed
from kocr_tui.screens.base import BaseScreen
from kocr_tui.strings import say

HINTS = {
    "name": "new.hint.name",
    "model.path": "new.hint.model",
    "data.train": "new.hint.rows",
    "data.validation": "new.hint.rows",
    "tune.max_pixels": "new.search",
    "train.micro_batch_tokens": "new.hint.tokens",
}


class NewRunScreen(BaseScreen):
    """Leaves with the id of the run that it started."""

    CSS_PATH = "new_run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(["new"])
    AUTO_FOCUS = "#data-train"
    first_place = "new"

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self._values = {field.key: field.default for field in FIELDS}
        self._touched: set[str] = set()
        self._starting = False
        self._profiles = _profiles()
        self._descriptions = {one.name: one.description for one in self._profiles}

    def body(self) -> ComposeResult:
        yield Static(say("new.title"), id="new-title", markup=False)
        with VerticalScroll(id="form", can_focus=False):
            for field in FIELDS:
                yield from self._row(field)
            yield Button(say("new.start"), id="start", variant="primary", compact=True)
        yield Static("", id="new-hint", markup=False)
        yield Static("", id="new-doing", markup=False)

    def _row(self, field: Field) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static(say(f"new.field.{field.label_name}"), classes="label", markup=False)
            yield self._control(field)
            yield Static("", id=f"{_id(field.key)}-note", classes="note", markup=False)

    def _control(self, field: Field) -> Input | Select[str]:
        if field.kind == "choice":
            options = self._cards() if field.name == "profile" else _targets()
            return Select(
                options,
                value=field.default,
                allow_blank=False,
                id=_id(field.key),
                compact=True,
            )
        hint = say(HINTS[field.key]) if field.key in HINTS else ""
        return Input(field.default, placeholder=hint, id=_id(field.key), compact=True)

    def _cards(self) -> list[tuple[str, str]]:
        named = [
            (f"{one.name}: {one.title}, {one.memory_gib:g} GiB", one.name) for one in self._profiles
        ]
        return [(say("new.profile_auto"), "auto"), *named]

    def on_mount(self) -> None:
        self._check()
        self.show_keys()

    @on(Input.Changed)
    @on(Select.Changed)
    def changed(self, event: Input.Changed | Select.Changed) -> None:
        widget = event.input if isinstance(event, Input.Changed) else event.select
        key = next(field.key for field in FIELDS if _id(field.key) == widget.id)
        if self._values[key] != str(event.value):
            self._touched.add(key)
        self._values[key] = str(event.value)
        self._check()
        self.show_hint()

    @on(DescendantFocus)
    def show_hint(self) -> None:
        """Below the form: what the field in focus takes, or what the chosen card is."""
        focused = self.focused.id if self.focused else None
        key = next((field.key for field in FIELDS if _id(field.key) == focused), "")
        hint = say(HINTS[key]) if key in HINTS else ""
        if key == "device.profile":
            hint = self._descriptions.get(self._values[key], "")
        self.query_one("#new-hint", Static).update(hint)

    @on(Input.Submitted)
    def next_field(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Starts the run, or goes to the first field that needs another value."""
        self._touched = {field.key for field in FIELDS}
        wrong = self._check()
        if wrong:
            self.query_one(f"#{_id(wrong[0].key)}").focus()
            self.tell(say("new.fix", count=len(wrong)), error=True)
            return
        if self._starting:
            return
        try:
            config = config_of(self._values, Path.cwd())
        except UsageError as error:
            self.tell(str(error), error=True)
            return
        self._set_starting(True)
        self.launch_config(self._runs, config)

    @on(Launched)
    def started(self, message: Launched) -> None:
        self.dismiss(message.run_id)

    def say_launch_failed(self, message: LaunchFailed) -> None:
        self._set_starting(False)
        super().say_launch_failed(message)

    def action_back(self) -> None:
        self.dismiss()

    def _set_starting(self, starting: bool) -> None:
        self._starting = starting
        doing = self.query_one("#new-doing", Static)
        doing.update(say("new.starting") if starting else "")
        doing.display = starting

    def _check(self) -> list[Field]:
        """Writes the reason beside each wrong field that was touched; returns all wrong ones."""
        wrong = []
        for field in FIELDS:
            reason = problem(field, self._values)
            if reason is not None:
                wrong.append(field)
            note = self.query_one(f"#{_id(field.key)}-note", Static)
            shown = f"✗ {reason}" if reason and field.key in self._touched else ""
            note.update(shown)
        return wrong


def _id(key: str) -> str:
    return key.replace(".", "-").replace("_", "-")


def _profiles() -> list[Profile]:
    """Every card's profile; none where a user's own file is wrong, which ``auto`` would say."""
    try:
        return list_profiles()
    except UsageError:
        return []


def _targets() -> list[tuple[str, str]]:
    return [(say(f"new.target.{name}"), name) for name in get_args(Targets)]
