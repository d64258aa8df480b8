"""Loader processes that may die under their work, and what is known of it when they do."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader

# What a process held goes before the word of its end comes.
_WORD_OF_END_SECONDS = 1.0


class LoaderDiedError(Exception):
    """A loader process ended by itself; the message says how."""


class Arriving:
    """What a DataLoader brings, in order; raises LoaderDiedError where one of its processes died.

    torch would have a signal handler raise that anywhere, in the middle of an update too; here it's
    found out where the next item is waited for, some seconds later.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        before = set(multiprocessing.active_children())
        handler = signal.getsignal(signal.SIGCHLD)
        self._items: Iterator[Any] = iter(loader)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
        self._processes = [
            process for process in multiprocessing.active_children() if process not in before
        ]

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except (RuntimeError, OSError, EOFError) as error:
            # What a dead one had sent may fail to arrive in many ways.
            died = self._first_dead()
            if died is None:
                raise
            raise LoaderDiedError(_how(died)) from error

    def _first_dead(self) -> BaseProcess | None:
        ends = [process.sentinel for process in self._processes]
        ended = connection.wait(ends, _WORD_OF_END_SECONDS)
        return next((process for process in self._processes if process.sentinel in ended), None)


def _how(process: BaseProcess) -> str:
    process.join(_WORD_OF_END_SECONDS)
    code = process.exitcode
    if code is None or code >= 0:
        return f"process {process.pid} that loads photos ended with exit status {code}"
    name = signal.Signals(-code).name
    return f"process {process.pid} that loads photos was killed by {name}"
