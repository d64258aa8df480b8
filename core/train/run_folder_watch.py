"""A run whose folder is deleted or moved under its worker ends; nothing is made in its place."""

from collections.abc import Callable
from pathlib import Path


class RunFolderWatch:
    """Knows a run's folder from another one at the same path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = self._identify()
        self.sentence = (
            f"{folder}: the run's folder is gone, so there is nowhere to save to; put it back "
            "where it was, then resume"
        )

    def is_gone(self) -> bool:
        """Whether nothing, or another folder, is where the run was; a disk that fails is not."""
        try:
            return self._identify() != self._identity
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def guard(self, touch: Callable[[], None], leave: Callable[[str], object]) -> None:
        """Touches what is in the folder, or calls ``leave`` with a sentence if it's gone."""
        if self.is_gone():
            leave(self.sentence)
        else:
            touch()

    def _identify(self) -> tuple[int, int]:
        found = self._folder.stat()
        return found.st_dev, found.st_ino
