"""Locks that hold for a whole box: whoever's and whichever home's, a program meets the same files.

They lie in folders that all users write to, so nothing that lies there is trusted, followed or
written to: a file is opened, looked at and locked.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from core import lock
from core.errors import UsageError

LOCKS_VARIABLE = "KOCR_LOCKS"
# Where only root may write to the first, root and others meet in the second.
BOX_FOLDERS = (Path("/run/lock"), Path("/tmp"))
_FOLDER = "kocr-tui"
_FOLDER_MODE = 0o1777
# systemd-tmpfiles deletes old files in /tmp, but none that are sticky.
_FILE_MODE = 0o1666
_PLAIN = re.compile(r"[A-Za-z0-9-]+")


@contextlib.contextmanager
def hold(name: str, busy: Callable[[int], str], instead: Path) -> Iterator[str | None]:
    """Holds the box's lock ``name`` for the length of the block.

    It's taken in each of BOX_FOLDERS that can be used, or in the folder that $KOCR_LOCKS names, so
    that two programs meet as long as they have one in common. Where none can be used the file
    ``instead`` is locked, and the block gets why. Raises UsageError with ``busy(process id of the
    holder)`` if it's taken, or for a name or a file that can be no lock.
    """
    if not _PLAIN.fullmatch(name):
        raise UsageError(f"{name}: no name for a lock: letters, digits and hyphens alone are taken")
    reasons: list[str] = []
    with contextlib.ExitStack() as held:
        parents = _parents()
        for parent in parents:
            try:
                held.enter_context(_held(parent / _FOLDER, f"{name}.lock", busy))
            except OSError as error:
                reasons.append(f"{parent / _FOLDER}: {error.strerror}")
        nowhere = len(reasons) == len(parents)
        if nowhere:
            held.enter_context(lock.hold(instead, busy, makes_folder=True))
        yield "; ".join(reasons) if nowhere else None


def _parents() -> tuple[Path, ...]:
    given = os.environ.get(LOCKS_VARIABLE)
    return (Path(given).expanduser().absolute(),) if given else BOX_FOLDERS


@contextlib.contextmanager
def _held(folder: Path, file: str, busy: Callable[[int], str]) -> Iterator[None]:
    """Raises OSError where the folder can't be used."""
    with _opened_folder(folder) as place, _opened_file(place, folder / file) as descriptor:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UsageError(busy(lock.holder_of(descriptor) or 0)) from None
        yield


@contextlib.contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    if not os.path.lexists(folder):
        _make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_mode & _FOLDER_MODE != _FOLDER_MODE:
            raise PermissionError(errno.EPERM, "Not open to all users (mode 1777)", str(folder))
        yield descriptor
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """It gets its mode before its name, so that nobody meets one that is still closed."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made.chmod(_FOLDER_MODE)
        made.rename(folder)
    except OSError:
        made.rmdir()
        if not folder.is_dir():
            raise


@contextlib.contextmanager
def _opened_file(place: int, path: Path) -> Iterator[int]:
    """The file in the folder that ``place`` is open on, made if it isn't there."""
    descriptor = _open_file(place, path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_plain_file(path)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_file(place: int, path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # The kernel refuses O_CREAT on others' files in such folders (fs.protected_regular).
        return os.open(path.name, flags, dir_fd=place)
    except FileNotFoundError:
        _make_file(place, path.name)
        return os.open(path.name, flags, dir_fd=place)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _no_plain_file(path) from None
        raise


def _no_plain_file(path: Path) -> UsageError:
    return UsageError(f"{path}: isn't a plain file, so it can't be a lock; remove it")


def _make_file(place: int, name: str) -> None:
    """It, too, gets its mode before its name; whoever is first makes it."""
    nameless = f".{os.urandom(8).hex()}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(nameless, flags, 0o600, dir_fd=place)
    try:
        os.fchmod(descriptor, _FILE_MODE)
        with contextlib.suppress(FileExistsError):
            os.link(nameless, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
    finally:
        os.close(descriptor)
        os.unlink(nameless, dir_fd=place)
