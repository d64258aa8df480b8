"""The console over ssh: started, left, cut off, found again, stopped, resumed, compared."""

import shutil
import time
from statistics import median

import psutil
import pytest
from e2e_box import wait_until
from ssh_box import Desk, Terminal

from core.events import TrainingStarted
from core.run_dir import RunDir, list_runs
from core.run_watch import RunWatch, watch

pytestmark = pytest.mark.e2e
LAG_SECONDS = 2.0
LEAVE_SECONDS = 10.0
LOOKS = 5


def test_the_demo_over_ssh_from_its_start_to_the_comparison(desk: Desk, finished: RunDir) -> None:
    terminal = desk.shell()
    terminal.type_line("kocr-tui demo")
    terminal.until_screen("≈ tuning", "esc back")
    terminal.until_step(3)
    terminal.press("q")
    terminal.until_screen("goes on without the console")
    goes_on(desk)

    terminal = attach(desk, terminal)
    assert len(desk.consoles()) == 1
    terminal.kill()
    desk.until_no_console()
    goes_on(desk)

    terminal = attach(desk, desk.shell())
    leave(terminal, "s", "■ stopped")
    left = desk.door.status(desk.home)
    assert left["state"] == "stopped"
    assert left["step"] == left["checkpoint_step"] > 3

    terminal.press("r")
    terminal.until_step(left["step"] + 1)
    [run] = list_runs(desk.home / "runs")
    training = watch(run).state.training
    assert isinstance(training, TrainingStarted)
    assert training.step == left["checkpoint_step"]
    leave(terminal, "a", "■ aborted")
    assert run.worker_pid() is None
    compare(desk, terminal, finished)


def attach(desk: Desk, terminal: Terminal) -> Terminal:
    """Opens the console on the only run that lives, without naming it."""
    terminal.type_line("kocr-tui attach")
    terminal.until_screen("esc back")
    terminal.until_step(desk.door.status(desk.home)["step"])
    return terminal


def goes_on(desk: Desk) -> None:
    """Sees by ``kocr-tui status --json`` that steps are taken."""
    before = desk.door.status(desk.home)["step"]
    desk.door.until_status(desk.home, lambda found: found["step"] >= before + 2)


def leave(terminal: Terminal, key: str, mark: str) -> None:
    """Stops or aborts the run that the console shows."""
    terminal.press(key)
    terminal.until_screen("y  yes")
    terminal.press("y")
    terminal.until_screen(mark)


def compare(desk: Desk, terminal: Terminal, other: RunDir) -> None:
    """Goes from a stopped run's screen to its comparison with a finished run."""
    shutil.copytree(other.path, desk.home / "runs" / other.id)
    terminal.press("Escape")
    terminal.until_screen("■ aborted", "✓ done")
    terminal.press("Space", "Space", "v")
    terminal.until_screen("Scores, cost, settings", "━ demo ■ aborted", "━ small ✓ done")


def test_two_consoles_on_one_run_show_the_same(desk: Desk, long_run: RunWatch) -> None:
    wait_until(long_run, lambda seen: seen.state.step >= 1)
    one, other = attach(desk, desk.shell()), attach(desk, desk.shell(80, 24))
    lags = [lag(*pair) for pair in ((one, other), (other, one)) * LOOKS]
    assert median(lags) < LAG_SECONDS, lags

    other.press("f", "6")
    other.until(lambda: only_the_log(other.screen()), "the log does not fill the screen")
    one.press("c")
    other.until_screen("the worker obeys: checkpoint")
    wait_until(long_run, lambda seen: seen.state.checkpoint_step is not None)
    saved = long_run.state.checkpoint_step
    assert saved is not None
    other.until_line(rf"checkpoint.* step {saved}\b.* saved")


def only_the_log(screen: str) -> bool:
    return "6 Log" in screen and "1 Memory" not in screen


def lag(ahead: Terminal, behind: Terminal) -> float:
    """Seconds until one terminal shows the step that the other shows now, or a later one."""
    step, seen_at = ahead.step(), time.monotonic()
    behind.until_step(step)
    return time.monotonic() - seen_at


def test_a_lost_connection_ends_a_console_that_ignores_hang_ups(
    desk: Desk, long_run: RunWatch
) -> None:
    wait_until(long_run, lambda seen: seen.state.step >= 1)
    terminal = desk.shell()
    terminal.type_line("trap '' HUP; kocr-tui attach")
    terminal.until_step(1)
    [console] = [psutil.Process(pid) for pid in desk.consoles()]
    terminal.kill()
    console.wait(LEAVE_SECONDS)
    goes_on(desk)


def test_a_tmux_on_the_far_side_keeps_the_console(desk: Desk, long_run: RunWatch) -> None:
    wait_until(long_run, lambda seen: seen.state.step >= 1)
    far = f"tmux -u -L {desk.name}-far -f /dev/null"
    terminal = desk.shell()
    terminal.type_line(f"{far} new-session 'kocr-tui attach'")
    before = terminal.until_step(1)
    terminal.kill()

    terminal = desk.shell(80, 24)
    terminal.type_line(f"{far} attach")
    terminal.until_step(before + 1)
    terminal.until_screen("1 Memory", "? help")
    widths = {len(line) for line in terminal.screen().splitlines()}
    assert max(widths) <= 80

    terminal.press("C-b", "d")
    terminal.until_screen("[detached")
    terminal.type_line(f"{far} attach")
    terminal.until_step(long_run.state.step + 1)
    terminal.press("q")
    terminal.until_screen("[exited]")
    assert long_run.worker_pid() is not None
