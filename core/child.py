"""Processes that do a part of a worker's work and must not outlive it: an orphan holds the card."""

import ctypes
import os
import signal

_PARENT = "KOCR_PARENT"
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# prctl(2)
_PR_SET_PDEATHSIG = 1


def child_environment() -> dict[str, str]:
    """The environment for a process that ``die_with_parent`` ends with this one."""
    return {**os.environ, _PARENT: str(os.getpid())}


def environment_alone() -> dict[str, str]:
    """The same for one that works by itself, such as a probe, and is none of a launcher's."""
    return {name: value for name, value in child_environment().items() if name not in _LAUNCHER}


def die_with_parent() -> None:
    """Has the kernel kill this process when the one that made its environment dies, whatever of.

    That holds while this process is stuck, too, and whoever else has its pipes. What the kernel
    looks at is the thread that started it (prctl(2)), so that must be one that lives to the end.
    Does nothing in a process that was started with another environment.
    """
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Of one that has died by now the kernel says nothing any more.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
