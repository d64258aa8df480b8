"""Folders that photos may not lead out of, links followed."""

import os

from core.data.unusable import UnusableError


class Boundary:
    """One such folder. Where a photo's folder leads is looked up once, each file every time."""

    def __init__(self, folder: str) -> None:
        self._real = os.path.realpath(folder)
        self._leads_to: dict[str, str] = {}

    def holds(self, path: str) -> bool:
        """Whether an absolute path, as it stands on the disk now, leads to a place inside."""
        folder, name = os.path.split(path)
        if folder not in self._leads_to:
            self._leads_to[folder] = os.path.realpath(folder)
        linked = os.path.islink(path)
        real = os.path.realpath(path) if linked else os.path.join(self._leads_to[folder], name)
        return is_below(real, self._real)


def is_below(path: str, folder: str) -> bool:
    """Whether an absolute path is the folder or in it, by their words alone."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def refuse_outside(path: str | os.PathLike[str], root: str | None) -> None:
    """Raises UnusableError ("outside-root") for a path that leads out of a root, if there is one.

    ``root`` is a real path. Nothing is opened, and nothing remembered.
    """
    if root is not None and not is_below(os.path.realpath(path), root):
        raise outside(root)


def outside(root: str, name: str = "") -> UnusableError:
    """What is told of a photo, by its name in the row where that isn't told already."""
    prefix = f"{name}: " if name else ""
    return UnusableError("outside-root", f"{prefix}leads out of the data root {root}")
