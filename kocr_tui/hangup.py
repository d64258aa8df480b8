"""Leaving with the terminal where no SIGHUP does it: one may be ignored, or not be sent."""

import os
import select
import stat
import threading
import time
from collections.abc import Callable, Sequence

_LEAVE_SECONDS = 5.0
_INPUT, _OUTPUT, _ERRORS = range(3)


def leave_on_hangup(leave: Callable[[], object]) -> None:
    """Calls ``leave`` in a thread of its own once the terminal on standard input is gone.

    What is still written to the terminal then goes nowhere, without an error. A process that
    hasn't left five seconds later is ended with exit code 1. Does nothing where standard input is
    a pipe or a file.
    """
    devices = [stream for stream in (_INPUT, _OUTPUT, _ERRORS) if _is_device(stream)]
    if _INPUT in devices:
        arguments = (devices, leave)
        threading.Thread(target=_watch, args=arguments, name="hangup", daemon=True).start()


def _is_device(stream: int) -> bool:
    """Whether it is a terminal, or was: one that is gone no longer passes for a terminal."""
    try:
        return stat.S_ISCHR(os.fstat(stream).st_mode)
    except OSError:
        return False


def _watch(devices: Sequence[int], leave: Callable[[], object]) -> None:
    poll = select.poll()
    poll.register(_INPUT, 0)
    [(_input, state)] = poll.poll()
    if state & select.POLLHUP:
        _send_nowhere(devices)
        leave()
        # A thread that waits for a disk may keep the app from leaving.
        time.sleep(_LEAVE_SECONDS)
        os._exit(1)


def _send_nowhere(streams: Sequence[int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(nowhere, stream)
