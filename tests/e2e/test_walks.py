"""Ways that people take through the console, with the keys counted."""

import os
import signal

import pytest
from e2e_box import wait_for_end, wait_until
from ssh_box import Desk

from core.run_watch import RunWatch

pytestmark = pytest.mark.e2e
MOST_KEYS = 4


def test_in_the_morning_a_dead_run_is_understood_and_resumed_in_four_keys(
    desk: Desk, long_run: RunWatch
) -> None:
    wait_until(long_run, lambda seen: seen.state.step >= 2)
    long_run.run.request("checkpoint")
    wait_until(long_run, lambda seen: seen.state.checkpoint_step is not None)
    saved = long_run.state.checkpoint_step
    assert saved is not None
    wait_until(long_run, lambda seen: seen.state.step > saved)
    pid = long_run.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for_end(long_run)

    terminal = desk.shell()
    terminal.type_line("kocr-tui attach")
    terminal.until_screen("✗ died", "without a last word")
    terminal.until_line(rf"r resumes.* step {saved}\b")
    terminal.press("r")
    terminal.until_screen("▶ training")
    terminal.until_step(long_run.state.step + 1)
    assert terminal.presses <= MOST_KEYS
