"""Completes paths as a shell does; pure but for looking into folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.visible_text import is_plain

_ENDING = ".jsonl"
_MOST = 200
TRAIN_NAME = "train.jsonl"
VALIDATION_NAMES = ("validation.jsonl", "val.jsonl", "valid.jsonl", "dev.jsonl")


@dataclass(frozen=True)
class Completion:
    """What a text can become: ``best``, None where nothing is to be added, of all ``matches``."""

    best: str | None
    matches: tuple[str, ...]


def complete_path(
    text: str, *, first: Sequence[str] = (), folders_only: bool = False
) -> Completion:
    """Folders (ending in /) and JSONL files that begin with ``text``.

    ``best`` is what all matches have in common where that is longer, else the first match; names
    in ``first`` come first, then files, then folders. Names that a terminal would obey are left
    out, since a field shows them as they are. Takes as long as the folder takes to read.
    """
    start = text.rpartition("/")[2]
    prefix = text[: len(text) - len(start)]
    if text in ("~", ".", ".."):
        return Completion(text + "/", (text + "/",))
    names = _names(user_path(prefix or "."), start, folders_only=folders_only)
    own = start + "/"
    names.sort(key=lambda name: (name != own, name not in first, name.endswith("/"), name))
    matches = tuple(prefix + name for name in names[:_MOST])
    return Completion(_best(text, matches), matches)


def _names(folder: Path, start: str, *, folders_only: bool) -> list[str]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(start) or (entry.name[0] == "." and not start):
                    continue
                if not is_plain(entry.name):
                    continue
                if entry.is_dir():
                    found.append(entry.name + "/")
                elif not folders_only and entry.name.endswith(_ENDING):
                    found.append(entry.name)
    except (OSError, ValueError):
        return []
    return found


def _best(text: str, matches: Sequence[str]) -> str | None:
    if not matches:
        return None
    common = os.path.commonprefix(matches)  # noqa: RUF071 - characters are meant
    best = common if len(common) > len(text) else matches[0]
    return best if best != text else None


def rows_file(text: str, names: Sequence[str] = (TRAIN_NAME,)) -> str:
    """The file of rows that ``text`` names: itself, or the first of ``names`` in that folder."""
    text = text.strip()
    if not text or not is_folder(text):
        return text
    prefix = text.rstrip("/") + "/"
    return next((prefix + name for name in names if is_file(prefix + name)), text)


def validation_beside(train: str) -> str | None:
    """The file of validation rows beside one of training rows, as the latter is written."""
    if not is_file(train):
        return None
    prefix, slash, own = train.rpartition("/")
    beside = (prefix + slash + name for name in VALIDATION_NAMES if name != own)
    return next((path for path in beside if is_file(path)), None)


def is_file(text: str) -> bool:
    """Whether a path as it is typed is a file's; never raises."""
    try:
        return user_path(text).is_file()
    except OSError:
        return False


def is_folder(text: str) -> bool:
    """Whether a path as it is typed is a folder's; never raises."""
    try:
        return user_path(text).is_dir()
    except OSError:
        return False


def user_path(text: str) -> Path:
    """The path with ~ as the user's home; as it is where there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
