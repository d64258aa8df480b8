"""From an image's name in a row to its file, never out of the data's own folder by a trick."""

import os
import re
import unicodedata
from pathlib import Path

from core.data.boundary import Boundary, is_below, outside
from core.data.unusable import UnusableError

_WEB = ("http://", "https://", "ftp://", "s3://", "gs://", "data:")
# More than any system opens; taking such a name apart would only take time.
MOST_CHARACTERS = 8192
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class PhotoFinder:
    """Finds the photos that the rows of one data set name.

    A relative name is taken from ``folder`` and has to stay below it, links followed; an absolute
    name (or a ``file://`` address) is the user's own choice and is taken as it is. Where a ``root``
    is given, neither may lead out of that. Where no file has the name as written, one whose name
    is the same after NFC is taken: files from macOS are often named in NFD.
    """

    def __init__(self, folder: Path, root: str | None = None) -> None:
        self._folder = os.path.abspath(folder)
        self._inside = Boundary(self._folder)
        self._root = root
        self._inside_root = Boundary(root) if root is not None else None
        self._by_nfc: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str:
        """The absolute path of the file called ``name``, whether or not it can be opened.

        Raises UnusableError "path-refused" for a web address, a name that can't be one, and a
        relative one that leads out of the folder, and "outside-root" for what leads out of the
        root, whether it is there or not.
        """
        if name.startswith(_WEB):
            raise UnusableError(
                "path-refused", f"{name[:100]}: a web address; download the photo and name its file"
            )
        name = name.removeprefix("file://")
        if not name or _NO_NAME.search(name):
            raise UnusableError("path-refused", f"{name[:100]!r}: not a file name")
        if len(name) > MOST_CHARACTERS:
            raise UnusableError("path-refused", f"{name[:100]!r} …: too long for a file name")
        path = os.path.normpath(os.path.join(self._folder, name))
        self._refuse_outside_root(path, name)
        path = self._as_on_disk(path)
        self._refuse_outside_root(path, name)
        if not os.path.isabs(name):
            self._refuse_outside(path, name)
        return path

    def _as_on_disk(self, path: str) -> str:
        """The path as it is written on the disk, or as it was given where there is no such file."""
        there, missing = path, []
        while there != self._folder and not os.path.lexists(there):
            there, name = os.path.split(there)
            missing.append(name)
        for name in reversed(missing):
            found = self._names_in(there).get(unicodedata.normalize("NFC", name))
            if found is None:
                return path
            there = os.path.join(there, found)
            if self._leads_out(there):
                break
        return there

    def _names_in(self, folder: str) -> dict[str, str]:
        if folder not in self._by_nfc:
            self._by_nfc[folder] = _names_by_nfc(folder)
        return self._by_nfc[folder]

    def _refuse_outside_root(self, path: str, name: str) -> None:
        if self._leads_out(path):
            raise outside(str(self._root), name)

    def _leads_out(self, path: str) -> bool:
        return self._inside_root is not None and not self._inside_root.holds(path)

    def _refuse_outside(self, path: str, name: str) -> None:
        if not (is_below(path, self._folder) and self._inside.holds(path)):
            raise UnusableError(
                "path-refused",
                f"{name}: leads out of {self._folder}; give the photo's absolute path to allow it",
            )


def _names_by_nfc(folder: str) -> dict[str, str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    return {unicodedata.normalize("NFC", name): name for name in names}
