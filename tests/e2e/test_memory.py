"""Other processes take the card's memory while a run trains, and give it back."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, wait_for_end, wait_until
from small_run import small_config
from test_run import LAST, start, weights

from core.event_log import EventReader
from core.events import RanOutOfMemory
from core.hardware.device import CPU_TENANTS_VARIABLE
from core.run_dir import RunDir
from core.run_watch import RunWatch, watch
from core.train.checkpoints import checkpoint

pytestmark = pytest.mark.e2e
TENANT = """
import os, sys
path, held = sys.argv[1], int(sys.argv[2])
with open(path, "wb") as file:
    file.write(held.to_bytes(8, "little"))
print("held", flush=True)
sys.stdin.read()
os.unlink(path)
"""


@pytest.fixture
def tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says what others hold, for every worker that is started from here on."""
    path = tmp_path / "tenants"
    monkeypatch.setenv(CPU_TENANTS_VARIABLE, str(path))
    return path


@pytest.fixture(scope="module")
def wide_box(tuned_home: Path) -> Box:
    """Runs whose steps are one micro-batch each."""
    config = small_config(tuned_home)
    train = msgspec.structs.replace(config.train, micro_batch_tokens=460)
    return Box(tuned_home, msgspec.structs.replace(config, train=train), "wide.json")


@pytest.fixture(scope="module")
def wide(wide_box: Box) -> RunDir:
    """Such a run, trained to its end without a break; the others have its certificate."""
    run = wide_box.new_run()
    done = wide_box.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(run.certificate_file, wide_box.home / wide_box.certificate)
    return run


@contextmanager
def tenant(path: Path, held: int) -> Iterator[None]:
    """A process that holds so many bytes of the CPU device until it's told to leave."""
    command = [sys.executable, "-c", TENANT, str(path), str(held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def tight(wide: RunDir) -> int:
    """Bytes that no step of an undisturbed run could do with, but one in halves can."""
    steps = watch(wide).state.steps
    idle = max(step.used_bytes for step in steps)
    return idle + int(0.85 * (min(step.peak_bytes for step in steps) - idle))


def limit(wide: RunDir) -> int:
    return watch(wide).state.steps[0].limit_bytes


def remedies(run: RunDir) -> list[RanOutOfMemory]:
    events = EventReader(run.events_file).poll()
    return [event for event in events if isinstance(event, RanOutOfMemory)]


def ended(running: RunWatch) -> tuple[str, int]:
    wait_for_end(running)
    finished = running.state.finished
    assert finished is not None, running.run.log_file.read_text()
    return finished.state, finished.exit_code


def test_memory_taken_in_mid_run_is_an_event_and_not_an_end(
    wide_box: Box, wide: RunDir, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, left = wide_box.new_run(), tight(wide)
    running = start(wide_box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 3)
    with tenant(tenants, limit(wide) - left):
        assert ended(running) == ("done", 0)
    told = remedies(run)
    assert told[0].remedy == "halve"
    assert {event.remedy for event in told} <= {"halve", "recompute"}
    assert told[0].step > 3
    assert told[0].budget_after <= told[0].budget_before // 2
    assert told[0].limit_bytes == left
    steps = running.state.steps
    assert [step.step for step in steps] == list(range(1, 25))
    assert all(step.peak_bytes <= left for step in steps if step.step >= told[-1].step)
    assert any(step.peak_bytes > left for step in steps)
    assert running.state.final is not None
    saved = checkpoint.read_state(run.path / LAST).savings
    assert saved.budget == told[-1].budget_after


def test_a_run_that_was_stopped_goes_on_as_small_to_the_same_bytes(
    wide_box: Box, wide: RunDir, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped = wide_box.new_run(), wide_box.new_run()
    with tenant(tenants, limit(wide) - tight(wide)):
        done = wide_box.kocr("resume", straight.id, "--headless")
        assert done.returncode == 0, done.stderr
        assert "out of memory in step 1 (" in done.stdout
        assert weights(straight) != weights(wide), "dropout falls otherwise where rows do"
        running = start(wide_box, stopped, monkeypatch)
        at = random.randrange(2, 20)
        wait_until(running, lambda seen: seen.state.step >= at)
        stopped.request("stop")
        assert ended(running) == ("stopped", 3)
    resumed = wide_box.kocr("resume", stopped.id, "--headless")
    assert resumed.returncode == 0, resumed.stderr
    assert "out of memory" not in resumed.stdout
    assert weights(stopped) == weights(straight)


def test_when_nothing_fits_it_saves_and_goes_on_once_the_others_have_left(
    wide_box: Box, wide: RunDir, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = wide_box.new_run()
    running = start(wide_box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 3)
    with tenant(tenants, limit(wide)):
        assert ended(running) == ("failed", 1)
        too_early = wide_box.kocr("resume", run.id, "--headless")
        assert too_early.returncode == 1
        assert "failed: CPU: out of memory: " in too_early.stdout
    assert running.state.finished is not None
    message = running.state.finished.message
    assert f"out of memory in step {running.state.step + 1}: not even one sample fits" in message
    assert "kocr-tui doctor" in message
    assert "\n" not in message
    assert [event.remedy for event in remedies(run)][-1] == "wait"
    assert running.state.checkpoint_step == running.state.step
    assert "Traceback" not in run.log_file.read_text()
    resumed = wide_box.kocr("resume", run.id, "--headless")
    assert resumed.returncode == 0, resumed.stderr
    assert weights(run) == weights(wide)
