"""How a process hears signals, and what it ends with; each is real, and told of what it heard."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HEAD = """
import os, sys, threading
from functools import partial
from core.train import signals as module
module._LAST_WORD_SECONDS = 0.5
signals = module.StopSignals()
signals.leave = partial(print, "left on", flush=True)
def say(word):
    print(word, flush=True)
def stuck(*_arguments):
    threading.Event().wait()
def heard():
    signals.wake.wait()
    say("heard")
signals.install()
say("ready")
"""


class Process:
    """A process that says in lines where it is."""

    def __init__(self, code: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HEAD + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hear("ready")

    def hear(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self._process.send_signal(number)

    def catches(self, number: signal.Signals) -> bool:
        """Whether the process has a handler for a signal (proc(5))."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
        return bool(int(caught, 16) >> (number - 1) & 1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self, word: str = "") -> tuple[str, int]:
        """What else it says, and its exit status."""
        said, _ = self._process.communicate(word, timeout=60)
        return said.strip(), self._process.returncode


@pytest.fixture
def begin() -> Iterator[Callable[[str], Process]]:
    """Starts processes, none of which outlives the test."""
    begun: list[Process] = []

    def start(code: str) -> Process:
        begun.append(Process(code))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (signal.SIGTERM, [signal.SIGTERM]),
        (signal.SIGINT, [signal.SIGINT]),
        (signal.SIGHUP, [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]),
    ],
)
def test_a_second_one_after_the_first_was_heard_leaves_at_once(
    begin: Callable[[str], Process], first: signal.Signals, others: list[signal.Signals]
) -> None:
    process = begin("heard(); stuck()")
    process.send(first)
    process.hear("heard")
    process.send(*others)
    said, code = process.end()
    assert code == 3
    assert said in ("left on SIGTERM", "left on SIGINT")


def test_what_systemd_sends_at_logout_is_one_request(begin: Callable[[str], Process]) -> None:
    process = begin("heard(); sys.stdin.read(); say(signals.asked)")
    process.send(signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)
    process.hear("heard")
    process.send(signal.SIGHUP)
    assert process.end() in (("SIGTERM", 0), ("SIGHUP", 0))


def test_after_the_end_a_second_signal_leaves_with_the_code_that_was_told(
    begin: Callable[[str], Process],
) -> None:
    process = begin("signals.end(4); heard(); stuck()")
    process.send(signal.SIGTERM)
    process.hear("heard")
    process.send(signal.SIGTERM)
    assert process.end() == ("", 4)


def test_of_two_ends_only_the_first_is_told(begin: Callable[[str], Process]) -> None:
    code = """
leaving = threading.Event()
def leave(name):
    leaving.set()
    stuck()
signals.leave = leave
heard()
leaving.wait()
say("leaving")
signals.end(4)
say("told twice")
"""
    process = begin(code)
    process.send(signal.SIGTERM)
    process.hear("heard")
    process.send(signal.SIGTERM)
    process.hear("leaving")
    assert process.end() == ("", 3)


def test_a_thread_that_ends_the_process_keeps_the_main_one_from_telling(
    begin: Callable[[str], Process],
) -> None:
    code = """
ending = threading.Event()
def end():
    signals.end(4)
    ending.set()
    say("ending")
    sys.stdin.read()
    os._exit(4)
threading.Thread(target=end).start()
ending.wait()
signals.end(1)
say("told twice")
"""
    process = begin(code)
    process.hear("ending")
    assert process.end() == ("", 4)


def test_a_signal_while_the_interpreter_ends_does_not_change_the_exit_code(
    begin: Callable[[str], Process],
) -> None:
    """The libraries' own teardown comes after Python has given its handlers back."""
    code = """
import ctypes
libc = ctypes.CDLL(None)
libc.__cxa_atexit(ctypes.cast(libc.getchar, ctypes.c_void_p), None, None)
signals.end(5)
signals.close()
say("over")
sys.exit(5)
"""
    process = begin(code)
    process.hear("over")
    while process.catches(signal.SIGTERM):
        os.sched_yield()
    process.send(signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    assert process.end("x") == ("", 5)
