"""What the form learns while it is filled in: the card, models, the rows' files, and the plan."""

from collections.abc import Callable
from pathlib import Path

from textual import on, work

from core.errors import UsageError
from core.hardware.nvml import auto_card
from core.planning import PlanRequest
from core.profile import GIB, pick_profile
from kocr_tui import format as fmt
from kocr_tui.messages import CardNamed, ModelsFound, PlanNews, RowsNews
from kocr_tui.reading.completion import Completion, complete_path, is_file, rows_file, user_path
from kocr_tui.reading.data_audit import DataAudit, RowsFiles, RowsState
from kocr_tui.reading.latest import Latest
from kocr_tui.reading.live_plan import Asked, LivePlan, PlanState, request_of, root_of
from kocr_tui.reading.model_list import KnownModel, complete_model, known_models
from kocr_tui.screens.base import BaseScreen
from kocr_tui.strings import say
from kocr_tui.views.form import FIELDS, ROW_NAMES, Field, value_of
from kocr_tui.widgets.plan_side import PlanSide


class FormNews(BaseScreen):
    """Threads that read and plan for the form's ``values``, and what to say of them."""

    def __init__(self) -> None:
        super().__init__()
        self.values = {field.key: field.default for field in FIELDS}
        self._card = ""
        self._models: tuple[KnownModel, ...] = ()
        self._rows: dict[str, RowsState] = {}
        self._looked_at = RowsFiles()
        self._plan = PlanState()
        self._asked: Asked = ""
        self._auditing = Latest(DataAudit(lambda state: self._post(RowsNews(state))).work)
        self._planning = Latest(LivePlan(lambda state: self._post(PlanNews(state))).work)

    def check(self) -> list[Field]:
        """Brings what is said of the fields up to date; returns the wrong ones."""
        raise NotImplementedError

    def begin_news(self) -> None:
        """Starts what reads and plans until the screen goes."""
        self.read_card()
        self.find_models()
        self.run_latest(self._auditing)
        self.run_latest(self._planning)
        self.look_anew()

    def on_unmount(self) -> None:
        self._auditing.close()
        self._planning.close()

    def _post(self, message: RowsNews | PlanNews) -> None:
        if not self.stopping.is_set():
            self.post_message(message)

    @work(thread=True, group="latest")
    def run_latest(self, latest: "Latest[RowsFiles] | Latest[Asked]") -> None:
        """Works on what the form wants until it is closed."""
        latest.run()

    @work(thread=True, group="card")
    def read_card(self) -> None:
        """Names the card that ``auto`` stands for, and the profile it takes."""
        card = auto_card()
        try:
            profile = pick_profile(card).name
        except UsageError as error:
            self.post_message(CardNamed(f"✗ {fmt.visible(str(error))}"))
            return
        if card is None:
            self.post_message(CardNamed(say("new.no_card")))
            return
        name, memory = fmt.visible(card.name or "GPU"), f"{(card.total_bytes or 0) / GIB:.1f} GiB"
        self.post_message(CardNamed(say("new.has_card", card=name, memory=memory, profile=profile)))

    @work(thread=True, group="models")
    def find_models(self) -> None:
        """Looks for models on this disk."""
        self.post_message(ModelsFound(known_models(Path.cwd())))

    @on(CardNamed)
    def card_named(self, message: CardNamed) -> None:
        self._card = message.line
        self.check()

    @on(ModelsFound)
    def models_found(self, message: ModelsFound) -> None:
        self._models = message.models
        self.check()

    @on(RowsNews)
    def rows_news(self, message: RowsNews) -> None:
        self._rows[message.state.path] = message.state
        self.check()
        if not message.state.reading:
            self._plan_anew()

    @on(PlanNews)
    def plan_news(self, message: PlanNews) -> None:
        self._plan = message.state
        self._show_plan()

    def look_anew(self) -> None:
        """Reads the files of rows that are named now, and plans what is chosen now."""
        paths = tuple(dict.fromkeys(path for key in ROW_NAMES if (path := self._file(key))))
        files = RowsFiles(paths, root_of(self.values))
        if files != self._looked_at:
            known = self._rows if files.root == self._looked_at.root else {}
            self._looked_at = files
            self._rows = {path: known.get(path, RowsState(path)) for path in paths}
            self._auditing.want(files)
        self._plan_anew()
        self._show_plan()

    def complete_of(self, field: Field) -> Callable[[str], Completion] | None:
        """How a field's text is completed, None where it isn't."""
        if field.kind == "file":
            return lambda text: complete_path(text, first=ROW_NAMES[field.key])
        if field.kind == "folder":
            return lambda text: complete_path(text, folders_only=True)
        if field.kind == "model":
            return lambda text: complete_model(text, self._models)
        return None

    def model_note(self, name: str) -> str:
        """Where a model is and what it is; nothing for any other text."""
        model = next((one for one in self._models if one.name == name), None)
        if model is None:
            return ""
        size = fmt.size(model.weight_bytes) if model.weight_bytes else ""
        return "  ".join(filter(None, (say(f"new.where.{model.where}"), model.family, size)))

    def remark_of(self, key: str) -> str:
        """What is to be said of a value that nothing is wrong with."""
        if key == "device.profile":
            return self._card
        if key == "model.path":
            return self.model_note(self.values[key].strip())
        if key in ROW_NAMES and (path := self._file(key)) is not None:
            return self._rows[path].line() if path in self._rows else ""
        return ""

    def unusable_rows(self) -> str | None:
        """Why the run would be refused for its rows, None where it would not."""
        if self.values["data.bad_rows"] != "refuse":
            return None
        found = [state.found for state in self._rows.values() if state.found is not None]
        count = sum(one.set_aside for one in found)
        return say("new.problem.unusable", count=f"{count:,}") if count else None

    def _file(self, key: str) -> str | None:
        """The absolute path of the file of rows that a field names, None where there is none."""
        path = rows_file(self.values[key], ROW_NAMES[key])
        return str(user_path(path).absolute()) if path and is_file(path) else None

    def _plan_anew(self) -> None:
        train, validation = (self._rows.get(self._file(key) or "") for key in ROW_NAMES)
        if any(state is not None and state.reading for state in (train, validation)):
            asked: Asked = None
        else:
            asked = self._request(train, validation)
        if asked != self._asked:
            self._asked = asked
            self._planning.want(asked)

    def _request(self, train: RowsState | None, validation: RowsState | None) -> PlanRequest | str:
        """What to plan, or why nothing can be planned."""
        usable = [state.path if state and state.found else None for state in (train, validation)]
        try:
            return request_of(self.values, *usable)
        except UsageError as error:
            return str(error)

    def _show_plan(self) -> None:
        epochs = value_of("train.epochs", self.values["train.epochs"])
        # News may come while the screen is taken down, when there is nothing to show it on.
        for side in self.query(PlanSide):
            side.show(self._plan, int(epochs) if epochs and epochs > 0 else 1)
