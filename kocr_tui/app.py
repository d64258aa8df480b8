"""The console: themes, breakpoints and the first screens."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.driver import Driver
from textual.filter import LineFilter
from textual.screen import Screen

from core.run_dir import find_run
from core.visible_text import visible
from kocr_tui.actions import key_label, use_ascii_labels, use_keys
from kocr_tui.driver import TerminalDriver
from kocr_tui.hangup import leave_on_hangup
from kocr_tui.look.ascii import AsciiFilter
from kocr_tui.look.no_color import StyledFilter
from kocr_tui.look.palette import THEMES, choose_theme
from kocr_tui.screens.base import BaseScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.settings import Look
from kocr_tui.strings import say, use_language


class ConsoleApp(App[str]):
    """Shows the runs of a folder; ``run_id`` opens one at once.

    It returns the id of a run that goes on when the user detaches from it.
    ``clock`` tells the seconds since 1970 that ages and the end of a run are counted from.
    """

    TITLE = "kocr-tui"
    CSS_PATH: ClassVar = ["app.tcss", "screens/home.tcss"]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it as a plain attribute
        (0, "-narrow"),
        (60, "-compact"),
        (100, "-full"),
        (160, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (18, "-low"), (32, "-tall")]  # noqa: RUF012 - as above
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "command_palette", "", show=False, priority=True, id="palette")
    ]

    def __init__(
        self,
        runs: Path,
        run_id: str | None = None,
        language: str | None = None,
        clock: Callable[[], float] = time.time,
        look: Look | None = None,
    ) -> None:
        look = look or Look()
        use_language(language or look.language)
        use_ascii_labels(look.ascii)
        super().__init__()
        self._home = HomeScreen(runs, clock)
        self._run_id = run_id
        self._keymap_of_user = use_keys(look.keys)
        self._ascii = AsciiFilter(enabled=look.ascii)
        self._styled = StyledFilter(enabled=self.no_color)
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = choose_theme(look.theme, self.console.color_system, os.environ).name

    def get_driver_class(self) -> type[Driver]:
        """Ours for terminals; a browser has one of Textual's."""
        found = super().get_driver_class()
        return TerminalDriver if issubclass(TerminalDriver, found) else found

    def on_mount(self) -> None:
        self.set_keymap(self._keymap_of_user)
        if self._run_id is not None:
            self._home.open_run(self._run_id)

    def get_default_screen(self) -> HomeScreen:
        """The list of runs, below every other screen."""
        return self._home

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters between ours: what NO_COLOR needs before, ASCII after them."""
        filters = [self._styled, *super().get_line_filters(), self._ascii]
        return [one for one in filters if one.enabled]

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder=say("app.search")))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The actions of the place where the palette was opened, then the themes."""
        if isinstance(screen, BaseScreen):
            for action in screen.offered():
                if action.id not in {"pane", "palette"}:
                    title = f"{action.title_for(screen.live)}  ({key_label(action)})"
                    yield SystemCommand(title, action.help, _runner(screen, action.called))
        for name, theme in THEMES.items():
            title = say("theme.title", name=say(f"theme.{name}"))
            yield SystemCommand(title, say(f"theme.{name}_for"), _chooser(self, theme.name))


def _runner(screen: BaseScreen, action: str) -> Callable[[], object]:
    return lambda: screen.call_later(screen.run_action, action)


def _chooser(app: ConsoleApp, theme: str) -> Callable[[], None]:
    def choose() -> None:
        app.theme = theme

    return choose


def run_console(
    runs: Path,
    run_id: str | None = None,
    language: str | None = None,
    look: Look | None = None,
) -> int:
    """Runs the console on a folder of runs until the user leaves it or its terminal is gone.

    Returns the exit code. ``run_id`` (whole, or a unique start or end of it) opens that run.
    ``language`` is "ko" or "en", the environment's where it is None. Raises UsageError for an
    unknown run.
    """
    chosen = find_run(runs, run_id).id if run_id is not None else None
    app = ConsoleApp(runs, chosen, language, look=look)
    # An app that is told to leave while it composes crashes for want of its widgets.
    leave_on_hangup(lambda: app.call_after_refresh(app.exit))
    left_running = app.run()
    if left_running is not None:
        print(say("app.detached", run=visible(left_running)))
    return app.return_code or 0
