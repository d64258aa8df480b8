"""Renaming and deleting the run under the cursor."""

import unicodedata
from functools import partial

import msgspec
from textual import on, work

from core.config import RunName
from core.errors import KocrError, one_line
from core.events import FINAL_STATES
from core.run_dir import RunDir, bytes_on_disk, delete_run, rename_run
from kocr_tui import format as fmt
from kocr_tui.messages import ChangeFailed, RunDeleted, RunMeasured, RunRenamed
from kocr_tui.screens.controls import RunControls
from kocr_tui.strings import say
from kocr_tui.views.run_row import RunRow


class RunEdits(RunControls):
    """The keys that change what is on the disk of the run that ``chosen_row`` names."""

    def chosen_row(self) -> RunRow | None:
        """The run under the cursor, as the list knows it."""
        raise NotImplementedError

    def run_deleted(self, run_id: str) -> None:
        """Called when a run is gone."""
        raise NotImplementedError

    def action_rename(self) -> None:
        run, row = self.chosen_run(), self.chosen_row()
        if run is None or row is None:
            return
        question = say("home.rename.question", run=fmt.visible(run.id))
        from kocr_tui.screens.ask_text import AskTextScreen

        asking = AskTextScreen(
            question, fmt.visible(row.name), say("home.rename.keys"), name_problem
        )
        self.app.push_screen(asking, partial(self._named, run, row.name))

    def _named(self, run: RunDir, before: str, name: str | None) -> None:
        if name is not None and name != before:
            self.rename(run, name)

    @work(thread=True, group="change")
    def rename(self, run: RunDir, name: str) -> None:
        """Writes the new name into the run's config."""
        try:
            rename_run(run, name)
        except (KocrError, OSError) as error:
            self.post_message(ChangeFailed(one_line(error, run.path)))
        else:
            self.post_message(RunRenamed(run.id, name))

    @on(RunRenamed)
    def say_renamed(self, message: RunRenamed) -> None:
        self.tell(say("home.rename.done", name=message.name))

    def action_delete(self) -> None:
        """Asks once the run is measured; a run that is live is not asked about."""
        run, row = self.chosen_run(), self.chosen_row()
        if run is None or row is None:
            return
        if row.state not in FINAL_STATES or run.worker_pid() is not None:
            state = say(f"state.{row.state}")
            self.tell(say("home.delete.live", name=row.name, state=state), error=True)
            return
        self.measure(run)

    @work(thread=True, group="measure", exclusive=True)
    def measure(self, run: RunDir) -> None:
        """Adds up what the run takes on the disk."""
        checkpoints = [path for path in run.checkpoints.glob("step-*") if path.is_dir()]
        self.post_message(RunMeasured(run.id, bytes_on_disk(run), len(checkpoints)))

    @on(RunMeasured)
    def ask_to_delete(self, message: RunMeasured) -> None:
        """Asks about the run that was measured, unless the user has gone on from it."""
        run, row = self.chosen_run(), self.chosen_row()
        if not self.is_active or run is None or row is None or run.id != message.run_id:
            return
        question = say(
            "home.delete.question",
            name=fmt.visible(row.name),
            run=fmt.visible(run.id),
            size=fmt.size(message.size),
            checkpoints=message.checkpoints,
        )
        from kocr_tui.screens.confirm import ConfirmScreen

        self.app.push_screen(ConfirmScreen(question), partial(self._sure_to_delete, run))

    def _sure_to_delete(self, run: RunDir, sure: bool | None) -> None:
        if sure:
            self.delete(run)

    @work(thread=True, group="change")
    def delete(self, run: RunDir) -> None:
        """Deletes the run's folder."""
        try:
            delete_run(run)
        except (KocrError, OSError) as error:
            self.post_message(ChangeFailed(one_line(error, run.path)))
        else:
            self.post_message(RunDeleted(run.id))

    @on(RunDeleted)
    def say_deleted(self, message: RunDeleted) -> None:
        self.tell(say("home.delete.done", run=message.run_id))
        self.run_deleted(message.run_id)

    @on(ChangeFailed)
    def say_change_failed(self, message: ChangeFailed) -> None:
        self.tell(message.reason, error=True)


def name_problem(name: str) -> str | None:
    """Why a run can't have that name, by the rules of core.config; None where it can."""
    try:
        msgspec.convert(unicodedata.normalize("NFC", name), RunName)
    except msgspec.ValidationError:
        if not name:
            return say("home.rename.empty")
        return say("home.rename.first" if name.startswith((".", "-")) else "home.rename.rule")
    return None
