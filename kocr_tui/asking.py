"""Asking a run's worker for somebody, and the line to tell of it."""

import errno

from core import asking
from core.asking import Asked
from core.errors import KocrError
from core.events import Request
from core.run_dir import RunDir
from core.visible_text import visible
from kocr_tui.strings import say

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def ask(run: RunDir, request: Request) -> Asked:
    """Asks the run's worker; raises KocrError in one line where that can't be done."""
    try:
        return asking.ask(run, request)
    except OSError as error:
        raise KocrError(
            say("asked.unwritable", run=visible(run.id), reason=_reason(error))
        ) from error


def told_otherwise(run: RunDir, asked: Asked) -> str | None:
    """What to say where the worker was asked in another way than by a request."""
    if asked.failure is None:
        return None
    return say("asked.signalled", run=visible(run.id), reason=_reason(asked.failure))


def _reason(error: OSError) -> str:
    return say("asked.full") if error.errno in _NO_ROOM else str(error.strerror)
