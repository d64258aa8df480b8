"""The form that makes a run: checked as it is typed, with the plan of its choices beside it."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantBlur, DescendantFocus
from textual.widgets import Button, Input, Select, Static

from core.config import RunConfig
from core.errors import UsageError
from core.profile import Profile, list_profiles
from kocr_tui import format as fmt
from kocr_tui.actions import bindings_for
from kocr_tui.messages import Launched, LaunchFailed
from kocr_tui.reading.completion import rows_file, validation_beside
from kocr_tui.screens.config_saving import ConfigSaving
from kocr_tui.screens.form_news import FormNews
from kocr_tui.strings import say
from kocr_tui.views.form import FIELDS, ROW_NAMES, Field, applies, config_of, problem
from kocr_tui.widgets.form_row import HINTS, FormRow, id_of
from kocr_tui.widgets.plan_side import PlanSide

_KEYS = {id_of(field.key): field.key for field in FIELDS}


class NewRunScreen(FormNews, ConfigSaving):
    """Leaves with the id of the run that it started."""

    CSS_PATH = "new_run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings_for(["new"])
    AUTO_FOCUS = "#data-train"
    first_place = "new"

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self._touched: set[str] = set()
        self._starting = False
        self._profiles = _profiles()
        self._descriptions = {one.name: one.description for one in self._profiles}

    def body(self) -> ComposeResult:
        yield Static(say("new.title"), id="new-title", markup=False)
        with Horizontal(id="new-body"):
            with VerticalScroll(id="form", can_focus=False):
                for field in FIELDS:
                    yield FormRow(field, self._profiles, self.complete_of(field), self.model_note)
                yield Button(say("new.start"), id="start", variant="primary", compact=True)
            yield PlanSide()
        yield Static("", id="new-hint", markup=False)
        yield Static("", id="new-doing", markup=False)

    def on_mount(self) -> None:
        self.check()
        self.show_keys()
        self.begin_news()

    @on(Input.Changed)
    @on(Select.Changed)
    def changed(self, event: Input.Changed | Select.Changed) -> None:
        widget = event.input if isinstance(event, Input.Changed) else event.select
        key = _KEYS.get(widget.id or "")
        if key is None or self.values[key] == str(event.value):
            return
        self.values[key] = str(event.value)
        self._touched.add(key)
        self._say_doing("")
        if key == "data.train":
            self._offer_validation()
        self.check()
        self.show_hint()
        self.look_anew()

    def _offer_validation(self) -> None:
        """Fills in the validation rows beside the training rows, unless the user named some."""
        if "data.validation" in self._touched:
            return
        offered = validation_beside(rows_file(self.values["data.train"])) or ""
        self.values["data.validation"] = offered
        self.query_one("#data-validation", Input).value = offered

    @on(DescendantBlur)
    def name_the_files(self) -> None:
        """Puts the file of rows in the place of its folder."""
        for key, names in ROW_NAMES.items():
            control = self.query_one(f"#{id_of(key)}", Input)
            if (path := rows_file(control.value, names)) != control.value.strip():
                control.value = path

    @on(DescendantFocus)
    def show_hint(self) -> None:
        """Below the form: what the field in focus takes, or what the chosen card is."""
        key = _KEYS.get((self.focused.id if self.focused else None) or "", "")
        hint = say(HINTS[key]) if key in HINTS else ""
        if key == "device.profile":
            hint = self._descriptions.get(self.values[key], "")
        self.query_one("#new-hint", Static).update(fmt.visible(hint))

    @on(Input.Submitted)
    def next_field(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Starts the run, or goes to the first field that needs another value."""
        self._launch_form(tune_only=False)

    def action_tune_only(self) -> None:
        """The same, for a run that finds what fits and waits."""
        self._launch_form(tune_only=True)

    def _launch_form(self, *, tune_only: bool) -> None:
        if self._starting or (config := self.checked_config()) is None:
            return
        self._starting = True
        self._say_doing(say("new.starting"))
        self.launch_config(self._runs, config, tune_only)

    def checked_config(self) -> RunConfig | None:
        """The form's config; None where a field needs another value, which is then in focus."""
        self._read_controls()
        self._touched = {field.key for field in FIELDS}
        wrong = self.check()
        if wrong:
            self.query_one(f"#{id_of(wrong[0].key)}").focus()
            self.tell(say("new.fix", count=len(wrong)), error=True)
            return None
        try:
            return config_of(self.values, Path.cwd())
        except UsageError as error:
            self.tell(str(error), error=True)
            return None

    def _read_controls(self) -> None:
        """Takes what was typed so lately that no message has told of it yet."""
        train = self.values["data.train"]
        for widget_id, key in _KEYS.items():
            control = self.query_one(f"#{widget_id}")
            assert isinstance(control, Input | Select)
            self.values[key] = str(control.value)
        if self.values["data.train"] != train:
            self._offer_validation()

    @on(Launched)
    def started(self, message: Launched) -> None:
        self.dismiss(message.run_id)

    def say_launch_failed(self, message: LaunchFailed) -> None:
        self._starting = False
        self._say_doing("")
        super().say_launch_failed(message)

    def action_back(self) -> None:
        self.dismiss()

    def say_saved(self, text: str) -> None:
        self._say_doing(text)

    def _say_doing(self, text: str) -> None:
        doing = self.query_one("#new-doing", Static)
        doing.update(text)
        doing.display = bool(text)

    def check(self) -> list[Field]:
        """Shows fields that apply, with the reason at each wrong one that was touched.

        Returns all wrong ones.
        """
        wrong = []
        for row in self.query(FormRow):
            field = row.field
            row.display = applies(field, self.values)
            reason = problem(field, self.values) if row.display else None
            unusable = self.unusable_rows() if field.key == "data.bad_rows" else None
            if reason is not None or unusable is not None:
                wrong.append(field)
            if unusable is not None:
                row.remark(f"✗ {unusable}", wrong=True)
            elif reason is not None and field.key in self._touched:
                row.remark(f"✗ {reason}", wrong=True)
            else:
                row.remark(self.remark_of(field.key))
        return wrong


def _profiles() -> list[Profile]:
    """Every card's profile; none where a user's own file is wrong, which ``auto`` would say."""
    try:
        return list_profiles()
    except UsageError:
        return []
