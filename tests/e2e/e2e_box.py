"""Real workers on a small real run: the shipped base, a few signs, the true commands."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from core import toml_file
from core.config import RunConfig
from core.run_dir import RunDir, create_run
from core.run_watch import RunWatch

PATIENCE_SECONDS = 240.0
_TICK = threading.Event()


@dataclass
class Box:
    """A home with runs in it, and the command line that works on it."""

    home: Path
    config: RunConfig
    certificate: str = "certificate.json"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    def kocr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end with no terminal."""
        return subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            timeout=PATIENCE_SECONDS,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kocr_tui.cli", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KOCR_HOME": str(self.home), "LANG": "C.UTF-8"}

    def new_run(self) -> RunDir:
        """A run that has its certificate already, so that it starts to train at once."""
        run = create_run(self.runs, self.config)
        if (self.home / self.certificate).exists():
            shutil.copy(self.home / self.certificate, run.certificate_file)
        return run

    def status(self, run: RunDir) -> dict[str, Any]:
        done = self.kocr("status", run.id, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def wait_until(watch: RunWatch, condition: Callable[[RunWatch], bool]) -> None:
    """Reads events until the condition holds; fails when the worker leaves or time runs out."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        alive = watch.worker_pid() is not None
        watch.poll()
        if condition(watch):
            return
        assert alive, f"the worker left: {watch.state.finished}\n{watch.run.log_file.read_text()}"
        assert time.monotonic() < deadline, f"still {watch.live_state()} at {watch.state.step}"
        _TICK.wait(0.02)


def wait_for_end(watch: RunWatch) -> None:
    """Waits until the worker has let go of the run."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while watch.worker_pid() is not None:
        assert time.monotonic() < deadline
        _TICK.wait(0.02)
    watch.poll()


def untuned(config: RunConfig, tolerance: float) -> RunConfig:
    """The same run with a setting that no certificate on file was made for."""
    tune = msgspec.structs.replace(config.tune, tolerance=tolerance)
    return msgspec.structs.replace(config, tune=tune)


def write_config(path: Path, config: RunConfig) -> Path:
    path.write_text(toml_file.encode(config), encoding="utf-8")
    return path
