"""Where the photos of a label file are: by their names, or by base name anywhere in a folder."""

import os
import unicodedata
from pathlib import Path

from core.data.finder import PhotoFinder
from core.data.unusable import UnusableError


class PhotoLibrary:
    """A folder of photos that label files refer to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._finder = PhotoFinder(folder)
        self._by_name: dict[str, list[str]] | None = None

    def find(self, name: str) -> str:
        """The absolute path of the photo called ``name``.

        Where there is none at that place, the only one with that base name in the folder or below
        is taken. Raises UnusableError if there is none, or more than one.
        """
        path = self._finder.find(name)
        if os.path.lexists(path):
            return path
        found = self._names().get(unicodedata.normalize("NFC", os.path.basename(name)), [])
        if len(found) > 1:
            raise UnusableError(
                "ambiguous-file",
                f"{name}: {len(found)} files have that name: {found[0]}, {found[1]}",
            )
        if not found:
            raise UnusableError("no-such-file", f"{path}: no such file")
        return found[0]

    def _names(self) -> dict[str, list[str]]:
        if self._by_name is None:
            self._by_name = {}
            for folder, folders, names in os.walk(os.path.abspath(self._folder)):
                folders.sort()
                for name in sorted(names):
                    key = unicodedata.normalize("NFC", name)
                    self._by_name.setdefault(key, []).append(os.path.join(folder, name))
        return self._by_name
