"""The folder of a run is deleted while its worker trains."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from e2e_box import PATIENCE_SECONDS, Box, wait_until

from core.run_watch import RunWatch

pytestmark = pytest.mark.e2e


def delete(folder: Path) -> None:
    """Deletes a folder as ``rm -rf`` does, at once for those who look for it."""
    hidden = folder.with_name(".deleted")
    folder.rename(hidden)
    shutil.rmtree(hidden)


def test_a_deleted_run_ends_with_one_line_and_is_not_made_anew(box: Box) -> None:
    run = box.new_run()
    command = [sys.executable, "-P", "-m", "core.train.worker", str(run.path)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=box.environment,
    ) as worker:
        running = RunWatch(run)
        wait_until_held(running)
        wait_until(running, lambda seen: seen.state.step >= 1)
        delete(run.path)
        _out, errors = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 1, errors
    assert "Traceback" not in errors, errors
    [line] = [line for line in errors.splitlines() if str(run.path) in line]
    assert line.startswith(f"{run.path}: the run's folder is gone")
    assert not os.path.lexists(run.path)


def wait_until_held(running: RunWatch) -> None:
    tick = threading.Event()
    while running.worker_pid() is None:
        tick.wait(0.05)
