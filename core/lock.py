"""Locks on files, released by the kernel when their holder dies, however it dies.

POSIX record locks are used because a forked loader worker doesn't inherit them: with flock, an
orphan would keep a dead worker's run locked.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from core.errors import KocrError, UsageError

_FLOCK = struct.Struct("@hhqqi")


def holder(path: Path) -> int | None:
    """The process id that holds the lock file, or None. It takes no lock to find out."""
    try:
        with path.open("rb") as file:
            return holder_of(file.fileno())
    except OSError:
        return None


def holder_of(descriptor: int) -> int | None:
    """The same for a file that is open; raises OSError where its locks aren't told."""
    question = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
    kind, _whence, _start, _length, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


@contextlib.contextmanager
def hold(path: Path, busy: Callable[[int], str], *, makes_folder: bool = False) -> Iterator[None]:
    """Holds the lock file for the length of the block; its folder is made only on request.

    Raises UsageError with ``busy(process id of the holder)`` if it's taken, KocrError if there is
    no such folder or the file can't be written or locked.
    """
    with _opened(path, makes_folder=makes_folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UsageError(busy(holder(path) or 0)) from None
        except OSError as error:
            raise _cannot(path, error) from error
        yield


def _opened(path: Path, *, makes_folder: bool) -> IO[bytes]:
    try:
        if makes_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise _cannot(path, error) from error


def _cannot(path: Path, error: OSError) -> KocrError:
    return KocrError(f"{path}: can't be locked: {error.strerror}")
