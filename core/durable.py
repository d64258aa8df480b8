"""Getting what was written onto the disk itself."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Waits until a file's content, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder in one that is there, unless it's there itself; its name outlives a power cut.

    Raises OSError, also where the folder around it is gone.
    """
    try:
        path.mkdir()
    except FileExistsError:
        return
    flush(path.parent)
