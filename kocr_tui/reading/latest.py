"""Work on the newest of what is wanted; older work is told to end."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")


class Latest(Generic[Wanted]):
    """``work`` gets what was wanted last, and an event that is set once it no longer is.

    ``run`` does the work in the thread that calls it, one thing at a time, until ``close``.
    """

    def __init__(self, work: Callable[[Wanted, threading.Event], None]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._next: tuple[Wanted, threading.Event] | None = None
        self._stop = threading.Event()
        self._closed = False

    def want(self, wanted: Wanted) -> None:
        """Ends what is being worked on, and has this done instead."""
        with self._changed:
            self._stop.set()
            self._stop = threading.Event()
            self._next = (wanted, self._stop)
            self._changed.notify()

    def close(self) -> None:
        """Ends what is being worked on, and the thread."""
        with self._changed:
            self._closed = True
            self._stop.set()
            self._changed.notify()

    def run(self) -> None:
        """Works until it's closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next is not None)
                if self._closed or self._next is None:
                    return
                job, self._next = self._next, None
            self._work(*job)
