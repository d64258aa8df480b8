"""Keys that ask something of a run: the same on the list of runs and on a run's own screen."""

from functools import partial

from core.errors import KocrError
from core.events import Request, ResumeRefused
from core.run_dir import RunDir
from core.run_watch import has_further_epochs
from kocr_tui import format as fmt
from kocr_tui.actions import RESUMABLE
from kocr_tui.asking import ask, told_otherwise
from kocr_tui.screens.base import BaseScreen
from kocr_tui.strings import say
from kocr_tui.words import difference_in_words


class RunControls(BaseScreen):
    """Stop, abort and resume for the run that ``chosen_run`` names."""

    def chosen_run(self) -> RunDir | None:
        """The run that keys act on."""
        raise NotImplementedError

    def checkpoint_step(self) -> int | None:
        """The step of that run's last checkpoint, None where there is none."""
        return None

    def trained_epochs(self) -> int:
        """For how many epochs that run has been trained or is to be, 0 where it never was."""
        return 0

    def refused(self) -> ResumeRefused | None:
        """Why its last worker refused to go on, None where it didn't."""
        return None

    def request_sent(self, request: Request, request_id: str) -> None:
        """Called when a request was written; says so where nothing else shows it."""
        self.tell(say("asked.sent", what=say(f"request.{request}")))

    def ask(self, request: Request) -> None:
        """Writes a request where a worker is there to read it, else says why not."""
        run = self.chosen_run()
        if run is None:
            return
        if run.worker_pid() is None:
            self.tell(say("asked.no_worker", what=say(f"request.{request}")), error=True)
            return
        try:
            asked = ask(run, request)
        except KocrError as error:
            self.tell(str(error), error=True)
            return
        if asked.request_id is not None:
            self.request_sent(request, asked.request_id)
        elif (line := told_otherwise(run, asked)) is not None:
            self.tell(line)

    def action_stop(self) -> None:
        self._confirm("stop")

    def action_abort(self) -> None:
        self._confirm("abort")

    def action_resume(self) -> None:
        run, live = self.chosen_run(), self.live
        if run is None or live is None:
            return
        if live not in RESUMABLE and not has_further_epochs(run, self.trained_epochs()):
            self.tell(say("asked.not_resumable", state=say(f"state.{live}")), error=True)
            return
        if (refused := self.refused()) is None:
            self._resume(run)
            return
        from kocr_tui.screens.confirm import ConfirmScreen

        lines = "\n".join(map(difference_in_words, refused.differences))
        question = say("confirm.resume", run=fmt.visible(run.id), differences=lines)
        allow = tuple(dict.fromkeys(one.name for one in refused.differences))
        self.app.push_screen(ConfirmScreen(question), partial(self._resume_anyway, run, allow))

    def _resume_anyway(self, run: RunDir, allow: tuple[str, ...], sure: bool | None) -> None:
        if sure:
            self._resume(run, allow)

    def _resume(self, run: RunDir, allow: tuple[str, ...] = ()) -> None:
        self.tell(say("home.starting", run=run.id))
        self.launch_run(run, allow)

    def _confirm(self, request: Request) -> None:
        run = self.chosen_run()
        if run is None:
            return
        if run.worker_pid() is None:
            self.tell(say("asked.no_worker", what=say(f"request.{request}")), error=True)
            return
        step = self.checkpoint_step()
        kept = say("confirm.kept", step=step) if step else say("confirm.nothing_kept")
        question = say(f"confirm.{request}", run=fmt.visible(run.id), kept=kept)
        from kocr_tui.screens.confirm import ConfirmScreen

        self.app.push_screen(ConfirmScreen(question), partial(self._answered, request))

    def _answered(self, request: Request, sure: bool | None) -> None:
        if sure:
            self.ask(request)
