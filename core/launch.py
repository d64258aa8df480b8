"""Starts work in processes of their own, so that the caller never imports torch."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.config import RunConfig, read_config
from core.errors import KocrError, UsageError
from core.planning import PlanReport, PlanRequest
from core.run_dir import RunDir, home

READY_VARIABLE = "KOCR_READY_FD"
TUNE_ONLY = "--tune-only"
PLANNER = (sys.executable, "-P", "-m", "core.tune.planner")
_PROGRESS = re.compile(r"(\d+) (\d+) ?(.*)")
# A waiting OpenMP thread that spins starves everyone who shares its core, loaders included.
_DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


def launch(run: RunDir, *, tune_only: bool = False) -> int:
    """Starts the worker on a new or resumable run and returns its process id.

    The worker is a session of its own and outlives console and shell; its output goes to the
    run's worker.log. With ``tune_only`` it leaves once it knows what fits. Returns as soon as the
    worker holds the run's lock. Raises UsageError if another worker is on this run, KocrError if
    the worker dies at once.
    """
    if (pid := run.worker_pid()) is not None:
        raise UsageError(busy_message(run, pid))
    with contextlib.suppress(FileNotFoundError):
        run.control_file.unlink()
    command = [sys.executable, "-P", "-m", "core.train.worker", str(run.path)]
    if tune_only:
        command.append(TUNE_ONLY)
    ready, worker_end = os.pipe()
    with run.log_file.open("ab") as log, os.fdopen(ready, "rb") as ready_file:
        try:
            worker = subprocess.Popen(
                command,
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


def plan(
    request: PlanRequest,
    tell: Callable[[int, int, str], None],
    command: Sequence[str] = PLANNER,
) -> PlanReport:
    """Has the planner answer ``request`` in a process of its own; takes seconds to minutes.

    ``tell`` hears how many steps are done, how many there are, and which is next. ``command`` gets
    the request's file and the report's. Raises UsageError or KocrError with the planner's last
    line, and ends it on Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="kocr-plan-") as folder:
        asked, answer, errors = (Path(folder) / name for name in ("request", "report", "errors"))
        asked.write_bytes(msgspec.json.encode(request))
        with errors.open("wb") as file:
            code = _run_planner([*command, str(asked), str(answer)], file, tell)
        if code != 0 or not answer.exists():
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"the planner ended with code {code} and no word"
            raise (UsageError if code == UsageError.exit_code else KocrError)(reason)
        return msgspec.json.decode(answer.read_bytes(), type=PlanReport)


def _run_planner(
    command: list[str], errors: BinaryIO, tell: Callable[[int, int, str], None]
) -> int:
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        process_group=0,
    ) as planner:
        assert planner.stdout is not None
        try:
            for line in planner.stdout:
                if (told := _PROGRESS.fullmatch(line.strip())) is not None:
                    tell(int(told[1]), int(told[2]), told[3])
            return planner.wait()
        except BaseException:
            # The planner's helpers wait for work and would outlive it, so all of its group end.
            os.killpg(planner.pid, signal.SIGTERM)
            raise


def _environment() -> dict[str, str]:
    """The allocator is set before torch is imported; NVML counts cards by PCI bus, so CUDA must."""
    return {**_DEFAULTS, **os.environ}
