"""Starts work in processes of their own, so that the caller never imports torch."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from core.config import RunConfig, read_config
from core.errors import KocrError, UsageError
from core.run_dir import RunDir, home

READY_VARIABLE = "KOCR_READY_FD"
# A waiting OpenMP thread that spins starves everyone who shares its core, loaders included.
_DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


def launch(run: RunDir) -> int:
    """Starts the worker on a new or resumable run and returns its process id.

    The worker is a session of its own and outlives console and shell; its output goes to the
    run's worker.log. Returns as soon as the worker holds the run's lock. Raises UsageError if
    another worker is on this run, KocrError if the worker dies at once.
    """
    if (pid := run.worker_pid()) is not None:
        raise UsageError(busy_message(run, pid))
    with contextlib.suppress(FileNotFoundError):
        run.control_file.unlink()
    ready, worker_end = os.pipe()
    with run.log_file.open("ab") as log, os.fdopen(ready, "rb") as ready_file:
        try:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "core.train.worker", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[worker_end],
                env=_environment() | {READY_VARIABLE: str(worker_end)},
            )
        finally:
            os.close(worker_end)
        word = ready_file.read().decode()
    if word == "ready":
        return worker.pid
    worker.wait()
    raise UsageError(word) if word else KocrError(f"{run.id}: the worker died; see {run.log_file}")


def report_ready(word: str = "ready") -> None:
    """Called by the worker once it holds the lock; any other word is the reason it doesn't."""
    if (given := os.environ.pop(READY_VARIABLE, None)) is not None:
        with os.fdopen(int(given), "wb") as pipe:
            pipe.write(word.encode())


def busy_message(run: RunDir, pid: int) -> str:
    """What to say when a worker already holds the run."""
    return (
        f"{run.id}: busy: process {pid} is training it; `kocr-tui attach {run.id}` shows it, "
        f"`kocr-tui stop {run.id}` ends it"
    )


def prepare_demo() -> RunConfig:
    """Makes the demo's photos (once) and returns the demo's config; takes some seconds.

    Raises KocrError with the maker's last line if that fails.
    """
    folder = home() / "demo"
    maker = subprocess.run(
        [sys.executable, "-P", "-m", "core.demo.prepare", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if maker.returncode != 0:
        lines = (maker.stderr or maker.stdout).strip().splitlines()
        raise KocrError(
            f"{folder}: can't make the demo: {lines[-1] if lines else 'no reason given'}"
        )
    return read_config(Path(folder) / "demo.toml")


def fill_cache(run_or_config: Path) -> int:
    """Fills the vision-feature cache in the foreground and returns the exit code."""
    command = [sys.executable, "-P", "-m", "core.train.fill", str(run_or_config)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_environment()) as filling:
        while True:
            # Ctrl-C reaches both; the filler ends by itself once it has kept what it has.
            with contextlib.suppress(KeyboardInterrupt):
                return filling.wait()


def _environment() -> dict[str, str]:
    """The allocator is set before torch is imported; NVML counts cards by PCI bus, so CUDA must."""
    return {**_DEFAULTS, **os.environ}
