"""Signals that ask the worker to leave: the first for a stop, the second for leaving at once."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LEFT_AT_ONCE = 3
_LAST_WORD_SECONDS = 2.0


class StopSignals:
    """Hears SIGTERM, SIGINT and SIGHUP; nothing is ever raised into the code they interrupt.

    ``asked`` is the first signal's name, None before; ``wake`` is set with it. A second one, where
    SIGHUP never counts, calls ``leave`` with its name and ends the process with exit code 3, from a
    thread of its own so that it works while the main one waits for a disk or a device. After
    ``end`` it has no more to say: a process that is stuck in leaving ends with the exit code that
    was told.
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        self.wake = threading.Event()
        self.leave: Callable[[str], object] | None = None
        self._ending = threading.RLock()
        self._exit_code = LEFT_AT_ONCE

    def install(self) -> None:
        """Begins to hear, first of all what has come since the process was started."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        os.register_at_fork(after_in_child=_hear_no_more)
        threading.Thread(target=self._hear, args=(reading,), name="signals", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def end(self, exit_code: int) -> None:
        """Called by the thread that is about to tell how the process ends, and with which code.

        Only one may: this waits forever in any other thread, which the process's end is the end of.
        """
        self._ending.acquire()
        self._exit_code = exit_code

    def close(self) -> None:
        """The process has nothing more to do, and no signal is to change how it ends."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: FrameType | None = None) -> None:
        if self.asked is None:
            self.asked = signal.Signals(number).name
            self.wake.set()

    def _hear(self, pipe: int) -> None:
        heard = 0
        while block := os.read(pipe, 64):
            for number in block:
                if number not in STOP_SIGNALS:
                    continue
                # At logout and shutdown systemd sends SIGTERM and SIGHUP at once.
                heard += number != signal.SIGHUP
                self._on_signal(number)
                if heard > 1 and number != signal.SIGHUP:
                    self._leave(signal.Signals(number).name)

    def _leave(self, name: str) -> None:
        if self._ending.acquire(timeout=_LAST_WORD_SECONDS) and self.leave is not None:
            # The last word waits for a disk that may never answer.
            last_word = threading.Thread(target=self.leave, args=(name,), daemon=True)
            last_word.start()
            last_word.join(_LAST_WORD_SECONDS)
        os._exit(self._exit_code)


def _hear_no_more() -> None:
    """A forked loader shares the pipe: what reaches it too must not count as a second signal."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
