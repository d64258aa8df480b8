"""Processes that do a part of a worker's work and must not outlive it: an orphan holds the card.

``python -m core.child MODULE ARGUMENT ...`` is ``python -m MODULE ARGUMENT ...`` that dies with its
parent, from before the module's imports on, which take seconds.
"""

import ctypes
import os
import runpy
import signal
import sys

_PARENT = "KOCR_PARENT"
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# prctl(2)
_PR_SET_PDEATHSIG = 1


def child_command(module: str) -> tuple[str, ...]:
    """What runs ``module`` in a process that dies with the one whose environment it's given."""
    return (sys.executable, "-P", "-m", "core.child", module)


def child_environment() -> dict[str, str]:
    """The environment for a process that dies with this one."""
    return {**os.environ, _PARENT: str(os.getpid())}


def environment_alone() -> dict[str, str]:
    """The same for one that works by itself, such as a probe, and is none of a launcher's."""
    return {name: value for name, value in child_environment().items() if name not in _LAUNCHER}


def _die_with_parent() -> None:
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


def main(arguments: list[str]) -> None:
    """Runs the module that the first of the arguments names, with the others."""
    _die_with_parent()
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
