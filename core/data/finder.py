"""From an image's name in a row to its file, never out of the data's own folder by a trick."""

import os
import re
import unicodedata
from pathlib import Path

from core.data.unusable import UnusableError

_WEB = ("http://", "https://", "ftp://", "s3://", "gs://", "data:")
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class PhotoFinder:
    """Finds the photos that the rows of one data set name.

    A relative name is taken from ``root`` and has to stay below it, links followed; an absolute
    name (or a ``file://`` address) is the user's own choice and is taken as it is. Where no file
    has the name as written, one whose name is the same after NFC is taken: files from macOS
    are often named in NFD.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}
        self._by_nfc: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str:
        """The absolute path of the file called ``name``, whether or not it can be opened.

        Raises UnusableError ("path-refused") for a web address, a name that can't be one, and a
        relative one that leads out of the root.
        """
        if name.startswith(_WEB):
            raise UnusableError(
                "path-refused", f"{name[:100]}: a web address; download the photo and name its file"
            )
        name = name.removeprefix("file://")
        if not name or _NO_NAME.search(name):
            raise UnusableError("path-refused", f"{name[:100]!r}: not a file name")
        path = self._as_on_disk(os.path.normpath(os.path.join(self._root, name)))
        if not os.path.isabs(name):
            self._refuse_outside(path, name)
        return path

    def _as_on_disk(self, path: str) -> str:
        if os.path.lexists(path):
            return path
        folder, name = os.path.split(path)
        if folder not in (self._root, path):
            folder = self._as_on_disk(folder)
        if folder not in self._by_nfc:
            self._by_nfc[folder] = _names_by_nfc(folder)
        found = self._by_nfc[folder].get(unicodedata.normalize("NFC", name))
        return os.path.join(folder, found) if found else path

    def _refuse_outside(self, path: str, name: str) -> None:
        folder = os.path.dirname(path)
        if folder not in self._inside:
            self._inside[folder] = _is_below(path, self._root) and _is_below(
                os.path.realpath(folder), self._real_root
            )
        inside = self._inside[folder]
        if inside and os.path.islink(path):
            inside = _is_below(os.path.realpath(path), self._real_root)
        if not inside:
            raise UnusableError(
                "path-refused",
                f"{name}: leads out of {self._root}; give the photo's absolute path to allow it",
            )


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _names_by_nfc(folder: str) -> dict[str, str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    return {unicodedata.normalize("NFC", name): name for name in names}
