"""Writing the form's choices to a TOML file that the command line takes."""

import shlex
from functools import partial

from textual import on, work

from core import toml_file
from core.config import RunConfig
from kocr_tui import format as fmt
from kocr_tui.messages import ConfigSaved
from kocr_tui.reading.completion import user_path
from kocr_tui.screens.ask_text import AskTextScreen
from kocr_tui.screens.base import BaseScreen
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.strings import say


class ConfigSaving(BaseScreen):
    """Asks for a path, and once more before a file that is there is written over."""

    _to_save: RunConfig | None = None

    def checked_config(self) -> RunConfig | None:
        """What is to be written, None where it isn't ready."""
        raise NotImplementedError

    def say_saved(self, text: str) -> None:
        """Says what was written until something changes."""
        raise NotImplementedError

    def action_save_config(self) -> None:
        self._to_save = self.checked_config()
        if self._to_save is not None:
            path = f"./{self._to_save.name}.toml"
            question, keys = say("new.save.question"), say("new.save.keys")
            self.app.push_screen(
                AskTextScreen(question, path, keys, path_problem), self._path_given
            )

    def _path_given(self, path: str | None) -> None:
        if path is not None and self._to_save is not None:
            self.write_config(self._to_save, path)

    @work(thread=True, group="save")
    def write_config(self, config: RunConfig, path: str, over: bool = False) -> None:
        """Writes the file; one that is there only where ``over`` says so."""
        file = user_path(path)
        try:
            with file.open("w" if over else "x", encoding="utf-8") as out:
                out.write(toml_file.encode(config))
        except FileExistsError:
            self.post_message(ConfigSaved(path, exists=True))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.post_message(ConfigSaved(path, reason=reason))
        else:
            self.post_message(ConfigSaved(path))

    @on(ConfigSaved)
    def saved(self, message: ConfigSaved) -> None:
        path = fmt.visible(message.path)
        if message.exists:
            question = say("new.save.exists", path=path)
            self.app.push_screen(ConfirmScreen(question), partial(self._sure, message.path))
        elif message.reason is not None:
            text = say("new.save.failed", path=path, reason=message.reason)
            self.tell(text, error=True)
        else:
            command = f"kocr-tui train -c {shlex.quote(str(user_path(message.path)))}"
            self.say_saved(say("new.save.done", path=path, command=fmt.visible(command)))

    def _sure(self, path: str, sure: bool | None) -> None:
        if sure and self._to_save is not None:
            self.write_config(self._to_save, path, over=True)


def path_problem(path: str) -> str | None:
    """Why nothing can be written there, as far as the text tells; None where it may be."""
    return None if path else say("new.save.empty")
