"""Photos by their files' names; nothing is opened, and no torch or Pillow is needed."""

import os
from collections.abc import Iterable, Iterator

from core.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def photo_files(names: Iterable[str]) -> list[str]:
    """The files that are named, and all photos in folders that are, each once, in this order.

    A folder's are those with a photo's suffix (case ignored) in it and below, by name; hidden ones
    and linked folders are left out. Raises UsageError for a folder without any.
    """
    found: dict[str, None] = {}
    for name in names:
        if not os.path.isdir(name):  # noqa: PTH112 - as text, which a name that is no UTF-8 stays
            found[name] = None
            continue
        below = dict.fromkeys(_below(name))
        if not below:
            raise UsageError(f"{name}: no photos in this folder ({', '.join(SUFFIXES)})")
        found |= below
    return list(found)


def _below(folder: str) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(path, name)  # noqa: PTH118 - as above
