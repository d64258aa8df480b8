"""A check's outcome, and what all checks share."""

from pathlib import Path
from typing import Literal

import msgspec

from core.profile import GIB

State = Literal["ok", "info", "warning", "failure"]


class Finding(msgspec.Struct, frozen=True):
    """One check: what was seen, and what to type where there is something to do about it.

    ``info`` says something that is neither right nor wrong.
    """

    check: str
    state: State
    detail: str
    fix: str | None = None


def gib(size: int | None) -> str:
    """Bytes as GiB: ``9.0 GiB``, ``? GiB`` where they are not known."""
    return "? GiB" if size is None else f"{size / GIB:.1f} GiB"


def text(file: Path) -> str:
    """The file's text; empty where it can't be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
