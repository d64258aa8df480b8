"""Requests to a run's worker, a file each, read as if anyone could have written them.

A request is a file of its own in the run's control folder, named so that sorting by name is the
order in which they were asked. The worker reads them in that order, tells of each, and unlinks it.

A request belongs to the worker that was there when it was written. One that a worker left without
having seen is settled by the next: ``evaluate`` and ``checkpoint`` are obeyed if they are no older
than LEFTOVER_SECONDS; ``stop`` and ``abort`` came true with that worker's end, and ``pause`` and
``continue`` were meant for it alone, so these expire. The worker tells either in its log.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from core.errors import KocrError
from core.events import Request

LEFTOVER_SECONDS = 600.0
SURVIVES: frozenset[Request] = frozenset({"evaluate", "checkpoint"})
_MOST_BYTES = 4096
_ROOT = 0
# What open says to a link, a foreign file and a socket: looking again would find the same.
_NO_FILE = frozenset({errno.ELOOP, errno.EACCES, errno.ENXIO})


class ControlFileError(KocrError):
    """There is a file in the control folder, but no request that may be obeyed."""


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What someone asks of the worker; ``time`` is seconds since 1970."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    request: Request
    time: float


def write_request(folder: Path, request: Request) -> str:
    """Puts a request into a control folder so that it's seen whole or not yet; returns its id.

    Where the folder is another user's, which takes root, that user can read the file. Raises
    OSError where it can't be written; nothing of it stays then.
    """
    now = time.time_ns()
    record = ControlRequest(id=os.urandom(4).hex(), request=request, time=now / 1e9)
    name = f"{now:020d}-{record.id}.json"
    with _opened(folder) as place:
        is_own = os.fstat(place).st_uid == os.geteuid()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f".{name}", flags, 0o600, dir_fd=place)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                if not is_own:
                    os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.rename(f".{name}", name, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(f".{name}", dir_fd=place)
            raise
    return record.id


def waiting(folder: Path) -> list[str]:
    """The names of the files that wait in a control folder, in the order they were asked in.

    Raises OSError where the folder can't be read or is a link.
    """
    with _opened(folder) as place, os.scandir(place) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith("."))


def read_request(path: Path) -> ControlRequest | None:
    """The request in a file, None where there is no file.

    Raises ControlFileError if it's a link, no plain file, neither this user's nor root's, too
    large, or holds no request that this version knows; OSError where it can't be read just now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NO_FILE:
            raise ControlFileError(f"{path}: ignored: {error.strerror}") from error
        raise
    try:
        _check_kind_and_owner(path, os.fstat(descriptor))
        data = os.read(descriptor, _MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MOST_BYTES:
        raise ControlFileError(f"{path}: ignored: over {_MOST_BYTES} bytes are no request")
    try:
        return msgspec.json.decode(data, type=ControlRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlFileError(f"{path}: ignored: no request that is known here: {error}") from None


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A control folder that stays the same one, whatever is put in its place meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_kind_and_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ControlFileError(f"{path}: ignored: not a plain file")
    if found.st_uid not in (_ROOT, os.geteuid()):
        raise ControlFileError(
            f"{path}: ignored: it belongs to user {found.st_uid}, neither the run's user nor root"
        )
