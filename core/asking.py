"""Asking a run's worker: by a request, or by a signal where a request can't be written."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from core.events import Request
from core.run_dir import RunDir

_SIGNALS: dict[Request, tuple[signal.Signals, ...]] = {
    # Asked twice it still is a stop: a second signal of the others makes the worker leave at once.
    "stop": (signal.SIGHUP,),
    # Two that differ, since a second one of a kind that is still to be heard is dropped.
    "abort": (signal.SIGTERM, signal.SIGINT),
}


@dataclass(frozen=True)
class Asked:
    """The id of the request that was written, or why a signal had to do instead."""

    request_id: str | None = None
    failure: OSError | None = None


def ask(run: RunDir, request: Request) -> Asked:
    """Asks the worker that holds the run; a stop and an abort need no room on the disk.

    Raises OSError where the request can't be written and no signal does instead.
    """
    try:
        return Asked(request_id=run.request(request))
    except OSError as error:
        if not _signal(run, _SIGNALS.get(request, ())):
            raise
        return Asked(failure=error)


def _signal(run: RunDir, numbers: tuple[signal.Signals, ...]) -> bool:
    """Sends the worker these; not where another user than the run's works on it."""
    pid = run.worker_pid()
    if pid is None or pid <= 0 or not numbers:
        return False
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}").stat().st_uid == run.path.stat().st_uid:
            for number in numbers:
                os.kill(pid, number)
            return True
    return False
