"""What every screen has: a key bar, help, a line for terminals too small, and launching."""

import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from core.config import RunConfig
from core.errors import KocrError
from core.events import State
from core.run_dir import RunDir, create_run
from kocr_tui import format as fmt
from kocr_tui.actions import ACTIONS, Action, Place, actions_at
from kocr_tui.messages import Launched, LaunchFailed, TextSaved
from kocr_tui.strings import say
from kocr_tui.widgets.key_bar import KeyBar

_FAILURE_SECONDS = 15.0


class TooSmall(Static):
    """One line that says how large the terminal must be; the style sheets show it."""

    def on_resize(self) -> None:
        width, height = self.app.size
        self.update(say("app.too_small", width=width, height=height))


class BaseScreen(Screen[str]):
    """Base of the screens; ``body`` yields what is between the top and the key bar."""

    BINDINGS: ClassVar[list[BindingType]] = []
    ALLOW_IN_MAXIMIZED_VIEW = "KeyBar, RunHeader, TooSmall"
    first_place: ClassVar[Place]

    def __init__(self) -> None:
        super().__init__()
        self.stopping = threading.Event()

    @property
    def place(self) -> Place:
        """Where the user is, for help and the key bar."""
        return self.first_place

    @property
    def live(self) -> State | None:
        """The state of the run that keys act on, None without one."""
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keeps the keys of one place from working in another that shares the screen."""
        meant = [one for one in ACTIONS if one.called == action]
        return not meant or any(self.place in one.places and self.offers(one) for one in meant)

    def offers(self, _action: Action) -> bool:
        """Whether an action of this place makes sense now, for reasons that only a screen knows."""
        return True

    def offered(self) -> list[Action]:
        """The actions that make sense now, in the order of the key bar."""
        return [
            one for one in actions_at(self.place) if one.applies(self.live) and self.offers(one)
        ]

    def compose(self) -> ComposeResult:
        yield TooSmall(markup=False)
        yield from self.body()
        yield KeyBar(self.offered())

    def body(self) -> ComposeResult:
        """The widgets of this screen."""
        raise NotImplementedError

    def on_unmount(self) -> None:
        self.stopping.set()

    def show_keys(self) -> None:
        """Brings the key bar up to date."""
        try:
            self.query_one(KeyBar).show(self.offered(), self.live)
        except NoMatches:
            return

    def tell(self, text: str, *, error: bool = False, seconds: float | None = None) -> None:
        """A passing notice on one line; whatever is in its text has no effect."""
        severity: SeverityLevel = "error" if error else "information"
        self.notify(fmt.visible(text), severity=severity, timeout=seconds, markup=False)

    def action_help(self) -> None:
        from kocr_tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self.place))

    def action_redraw(self) -> None:
        self.app.refresh(layout=True)

    def in_focus(self) -> Widget:
        """What copying and saving are about: the pane or widget in focus, or all of the screen."""
        focused = self.maximized or self.focused
        if focused is None or focused not in self.focus_chain:
            return self
        for around in focused.ancestors_with_self:
            if isinstance(around, Widget) and around.has_class("pane"):
                return around
        return focused

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text_in_focus())
        self.tell(say("copy.done_tmux" if os.environ.get("TMUX") else "copy.done"))

    def _text_in_focus(self) -> str:
        from kocr_tui.look.plain_text import text_of

        return text_of(self.in_focus())

    def action_save_text(self) -> None:
        self.save(self._text_in_focus())

    @work(thread=True, group="save")
    def save(self, text: str) -> None:
        """Writes the text to a new file and tells which."""
        try:
            from kocr_tui.look.text_file import save_text

            path = save_text(text, self.place, time.time())
        except KocrError as error:
            self.post_message(TextSaved(str(error), failed=True))
        else:
            self.post_message(TextSaved(say("copy.saved", path=path), failed=False))

    @on(TextSaved)
    def say_text_saved(self, message: TextSaved) -> None:
        """Names the file, or says why there is none."""
        self.tell(message.told, error=message.failed)

    @work(thread=True, group="launch")
    def launch_run(self, run: RunDir, allow: tuple[str, ...] = ()) -> None:
        """Starts a worker on a run that is there; ``allow`` names what may differ by now."""
        self._launch(run, allow=allow)

    @work(thread=True, group="launch")
    def launch_config(self, runs: Path, config: RunConfig, tune_only: bool = False) -> None:
        """Makes a run in the folder ``runs`` and starts a worker on it.

        With ``tune_only`` the worker leaves once it knows what fits.
        """
        try:
            run = create_run(runs, config)
        except KocrError as error:
            self.post_message(LaunchFailed(str(error)))
            return
        self._launch(run, tune_only=tune_only)

    @work(thread=True, group="launch")
    def launch_demo(self, runs: Path) -> None:
        """Makes the demo's data, a run on it, and starts its worker."""
        from core import launch

        worker = get_current_worker()
        try:
            run = create_run(runs, launch.prepare_demo())
        except KocrError as error:
            self.post_message(LaunchFailed(str(error)))
            return
        if not worker.is_cancelled:
            self._launch(run)

    def _launch(self, run: RunDir, *, tune_only: bool = False, allow: tuple[str, ...] = ()) -> None:
        from core import launch

        start = partial(launch.launch, tune_only=True) if tune_only else launch.launch
        if allow:
            start = partial(start, allow=allow)
        try:
            start(run)
        except KocrError as error:
            self.post_message(LaunchFailed(str(error)))
        else:
            self.post_message(Launched(run.id))

    @on(LaunchFailed)
    def launch_failed(self, message: LaunchFailed) -> None:
        """Hears of it for all screens: Textual calls a decorated method, never one over it."""
        self.say_launch_failed(message)

    def say_launch_failed(self, message: LaunchFailed) -> None:
        """Shows the reason for longer than a notice about success."""
        self.tell(message.reason, error=True, seconds=_FAILURE_SECONDS)
