"""One line on standard error while signs are read: how many, how fast, and the time left."""

import sys
import time

from core.reading import Told
from kocr_tui import format as fmt
from kocr_tui.strings import say

_SECONDS = 0.2
_CLEAR = "\r\x1b[K"


class ReadingLine:
    """Hears what the reading process tells; ``out`` is its file of predictions, once that is known.

    Notes are told in any case, the line is drawn only where somebody watches.
    """

    def __init__(self) -> None:
        self.out: str | None = None
        self._watched = sys.stderr.isatty()
        self._next = 0.0
        self._first: int | None = None
        self._started = 0.0

    def hear(self, done: int, total: int, told: Told) -> None:
        """``done`` of ``total`` photos, and what was told with it."""
        self.out = told.out or self.out
        if told.note is not None:
            self.clear()
            print(f"kocr-tui: {fmt.visible(told.note)}", file=sys.stderr, flush=True)
        if not total:
            return
        if not told.opening and self._first is None:
            self._first, self._started, self._next = done, time.monotonic(), 0.0
        self._show(done, total, told)

    def clear(self) -> None:
        """Takes the line away."""
        if self._watched:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def _show(self, done: int, total: int, told: Told) -> None:
        now = time.monotonic()
        if not self._watched or now < self._next:
            return
        self._next = now + _SECONDS
        what = say("reading.opening" if told.opening else "reading.progress")
        parts = [f"{what} {done:,} / {total:,}"]
        if self._first is not None and done > self._first:
            rate = (done - self._first) / max(now - self._started, 1e-9)
            parts.append(say("plain.rate", rate=fmt.rate(rate)))
        if told.seconds_left is not None:
            parts.append(say("plain.eta", eta=fmt.duration(told.seconds_left)))
        print(_CLEAR + "  ".join(parts), end="", file=sys.stderr, flush=True)
