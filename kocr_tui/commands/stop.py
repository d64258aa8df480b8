"""``kocr-tui stop`` and ``abort``: ask a worker to leave, and wait until it has."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time

from core.errors import KocrError, UsageError
from core.events import Request
from core.run_watch import RunWatch, watch
from core.visible_text import visible
from kocr_tui.asking import ask, told_otherwise
from kocr_tui.commands.which_run import named_or_live
from kocr_tui.plain import report
from kocr_tui.plain.follow import died
from kocr_tui.strings import say
from kocr_tui.words import message_of

_STOP_SECONDS = 120.0
_ABORT_SECONDS = 15.0
_POLL_SECONDS = 0.2


def stop(options: argparse.Namespace) -> int:
    """Asks for a checkpoint and waits until the worker has left."""
    return _ask(options, "stop", _STOP_SECONDS)


def abort(options: argparse.Namespace) -> int:
    """Asks the worker to leave at once; one that doesn't answer is killed."""
    return _ask(options, "abort", _ABORT_SECONDS)


def _ask(options: argparse.Namespace, request: Request, patience: float) -> int:
    run = named_or_live(options)
    watched = watch(run)
    pid = watched.worker_pid()
    if pid is None:
        state, asked = say(f"state.{watched.live_state()}"), say(f"request.{request}")
        raise UsageError(say("plain.not_running", run=run.id, request=asked, state=state))
    if (line := told_otherwise(run, ask(run, request))) is not None:
        print(line, file=sys.stderr)
    if not _gone_within(watched, patience):
        if request == "stop":
            raise KocrError(say("plain.slow", run=run.id, seconds=f"{patience:.0f}"))
        pid = watched.worker_pid() or 0
        if pid <= 0:
            raise KocrError(say("plain.slow", run=run.id, seconds=f"{patience:.0f}"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        print(say("plain.killed", run=visible(run.id), seconds=f"{patience:.0f}"), file=sys.stderr)
        _gone_within(watched, patience)
    watched.poll()
    if options.json:
        print(report.as_json(report.status(watched)))
    elif watched.state.finished is not None:
        state = message_of(watched.state.finished)
        print(say("plain.left", run=visible(run.id), state=state))
    else:
        print(died(watched))
    return 0


def _gone_within(watched: RunWatch, seconds: float) -> bool:
    """Whether the worker leaves in time."""
    tick = threading.Event()
    deadline = time.monotonic() + seconds
    while watched.worker_pid() is not None:
        if time.monotonic() > deadline:
            return False
        tick.wait(_POLL_SECONDS)
    return True
