"""One line on standard error that shows how far long work is."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kocr_tui import format as fmt

_SECONDS = 0.2
_CLEAR = "\r\x1b[K"


@contextmanager
def progress_line(what: str) -> Iterator[Callable[[int, int], None]]:
    """Hears (done, total) and shows it with a rate; silent where nobody watches."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    line = _Line(what)
    try:
        yield line.show
    finally:
        print(_CLEAR, end="", file=sys.stderr, flush=True)


def _ignore(_done: int, _total: int) -> None:
    return


class _Line:
    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._next = 0.0
        self._first: int | None = None

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if now < self._next:
            return
        self._next = now + _SECONDS
        rate = (done - self._first) / max(now - self._started, 1e-9)
        text = f"{self._what} {done:,} / {total:,}  {rate:,.0f}/s"
        print(f"{_CLEAR}{text}", end="", file=sys.stderr, flush=True)


@contextmanager
def told_line(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Hears (done, total, words) of a process and shows them; silent where nobody watches."""
    watched = sys.stderr.isatty()

    def tell(done: int, total: int, words: str) -> None:
        if watched:
            text = f"{what} {done:,} / {total:,}  {fmt.visible(words)}"
            columns = shutil.get_terminal_size().columns - 1
            print(_CLEAR + fmt.cut(text, columns), end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if watched:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
