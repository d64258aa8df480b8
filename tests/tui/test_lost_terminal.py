"""The terminal goes while the console is on it: a closed window, a connection that is cut."""

import contextlib
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from tui_story import training_story, worker_of

LEAVE_SECONDS = 10.0
PAINT_SECONDS = 60.0
FIRST_WORD = "\x1b[?1049h"
DRAWING = """
import asyncio
from textual.app import App
from kocr_tui.driver import TerminalDriver

async def draw():
    driver = TerminalDriver(App())
    driver.start_application_mode()
    for _piece in range(100):
        driver.write("more than the driver's queue holds")
    driver.stop_application_mode()
    driver.close()

asyncio.run(draw())
"""
WATCHED = """
import os, signal
from kocr_tui.hangup import leave_on_hangup
leave_on_hangup(lambda: {leave})
while True:
    signal.pause()
"""


class Terminal:
    """A pseudo terminal that is the controlling one of a console."""

    def __init__(self, runs: Path, on_hangup: signal.Handlers) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, on_hangup)
            environment = {**os.environ, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
            command = [sys.executable, "-m", "kocr_tui.cli", "--runs", str(runs)]
            os.execvpe(command[0], command, environment)
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._ended = os.pidfd_open(self.pid)

    def read_until(self, text: str) -> None:
        """Reads what the console writes until it has painted a text."""
        written, end = b"", time.monotonic() + PAINT_SECONDS
        while text.encode() not in written:
            assert time.monotonic() < end, written
            if select.select([self._master], [], [], 0.2)[0]:
                written += os.read(self._master, 65536)

    def hang_up(self) -> None:
        """Goes, as a closed window or a lost connection does."""
        os.close(self._master)

    def exit_code(self) -> int:
        """Waits for the console to leave; minus the signal where one ended it."""
        left, _, _ = select.select([self._ended], [], [], LEAVE_SECONDS)
        assert left, f"still there {LEAVE_SECONDS:.0f} s after its terminal has gone"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._ended)


@contextlib.contextmanager
def console(runs: Path, on_hangup: signal.Handlers) -> Iterator[Terminal]:
    terminal = Terminal(runs, on_hangup)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("on_hangup", "code"), [(signal.SIG_DFL, -signal.SIGHUP), (signal.SIG_IGN, 0)]
)
def test_the_console_leaves_with_its_terminal(
    runs: Path, on_hangup: signal.Handlers, code: int
) -> None:
    story = training_story(runs)
    with worker_of(story.run) as worker, console(runs, on_hangup) as terminal:
        terminal.read_until("120/400")
        terminal.hang_up()
        assert terminal.exit_code() == code
        assert story.run.worker_pid() == worker


def test_a_console_that_has_only_begun_to_draw_leaves_in_order(runs: Path) -> None:
    with console(runs, signal.SIG_IGN) as terminal:
        terminal.read_until(FIRST_WORD)
        terminal.hang_up()
        assert terminal.exit_code() == 0


def exit_code_of(program: str, stream: str) -> int:
    """Runs Python code whose input or errors are on a terminal that is gone already."""
    master, terminal = pty.openpty()
    os.close(master)
    streams = {"stdin": subprocess.DEVNULL, stream: terminal}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **streams) as process:
        os.close(terminal)
        try:
            return process.wait(LEAVE_SECONDS)
        finally:
            process.kill()


def test_drawing_on_a_terminal_that_is_gone_neither_fails_nor_waits() -> None:
    assert exit_code_of(DRAWING, "stderr") == 0


@pytest.mark.parametrize(("leave", "code"), [("os._exit(7)", 7), ("None", 1)])
def test_a_terminal_gone_from_the_start_ends_even_what_does_not_leave(
    leave: str, code: int
) -> None:
    assert exit_code_of(WATCHED.format(leave=leave), "stdin") == code
