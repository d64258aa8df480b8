"""A run's control.json: what someone asks of its worker, read as if anyone could have written it.

A request belongs to the worker that was there when it was written. One that a worker left without
having seen is settled by the next: ``evaluate`` and ``checkpoint`` are obeyed if they are no older
than LEFTOVER_SECONDS; ``stop`` and ``abort`` came true with that worker's end, and ``pause`` and
``continue`` were meant for it alone, so these expire. The worker tells either in its log.
"""

import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec

from core.errors import KocrError
from core.events import Request

LEFTOVER_SECONDS = 600.0
SURVIVES: frozenset[Request] = frozenset({"evaluate", "checkpoint"})
_MOST_BYTES = 4096


class ControlFileError(KocrError):
    """control.json is there, but no request that may be obeyed."""


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What someone asks of the worker; ``time`` is seconds since 1970."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    request: Request
    time: float


def read_request(path: Path) -> ControlRequest | None:
    """The request in a file, None where there is no file.

    Raises ControlFileError if it's a link, no plain file, somebody else's, too large, or holds
    no request that this version knows.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ControlFileError(f"{path}: ignored: {error.strerror}") from error
    try:
        _check_owner(path, os.fstat(descriptor))
        data = os.read(descriptor, _MOST_BYTES + 1)
    except OSError as error:
        raise ControlFileError(f"{path}: ignored: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > _MOST_BYTES:
        raise ControlFileError(f"{path}: ignored: over {_MOST_BYTES} bytes are no request")
    try:
        return msgspec.json.decode(data, type=ControlRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlFileError(f"{path}: ignored: no request that is known here: {error}") from None


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ControlFileError(f"{path}: ignored: not a plain file")
    if found.st_uid != os.geteuid():
        raise ControlFileError(
            f"{path}: ignored: it belongs to user {found.st_uid}, not to the run's user"
        )
