"""Starts work in processes of their own, so that the caller never imports torch."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from core import differences
from core.config import RunConfig, read_config
from core.errors import GpuLostError, KocrError, StoppedError, UsageError
from core.login import scope_of_own
from core.planning import PlanReport, PlanRequest
from core.run_dir import RunDir, home

READY_VARIABLE = "KOCR_READY_FD"
TUNE_ONLY = "--tune-only"
PLANNER = (sys.executable, "-P", "-m", "core.tune.planner")
_PROGRESS = re.compile(r"(\d+) (\d+) ?(.*)")
# How soon a program that says nothing is ended once nobody wants its answer.
_STOP_SECONDS = 0.1
_LOW_PRIORITY = 10
# A waiting OpenMP thread that spins starves everyone who shares its core, loaders included.
_DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


def launch(run: RunDir, *, tune_only: bool = False, allow: Iterable[str] = ()) -> int:
    """Starts the worker on a new or resumable run and returns its process id.

    The worker is a session of its own and outlives console and shell, in a systemd scope of its
    own where the user lingers; its output goes to the run's worker.log. With ``tune_only`` it
    leaves once it knows what fits; ``allow`` names what may differ from what the run was begun
    with (core/differences.py). Returns as soon as the worker holds the run's lock. Raises
    UsageError if another worker is on this run or the folder is another user's, KocrError if the
    worker can't be started or dies at once.
    """
    if (pid := run.worker_pid()) is not None:
        raise UsageError(busy_message(run, pid))
    _refuse_foreign(run)
    arguments = [str(run.path), *([TUNE_ONLY] if tune_only else [])]
    arguments += [f"{differences.ALLOW}{name}" for name in allow]
    try:
        worker, word = _start_worker(run, arguments)
    except OSError as error:
        place = error.filename or run.path
        raise KocrError(f"{place}: can't start the worker: {error.strerror}") from error
    if word == "ready":
        return worker.pid
    code = worker.wait()
    if not word:
        raise KocrError(f"{run.id}: the worker died; see {run.log_file}")
    raise (UsageError if code == UsageError.exit_code else KocrError)(word)


def _start_worker(run: RunDir, arguments: list[str]) -> tuple[subprocess.Popen[bytes], str]:
    """The worker's process, and what it says once it holds the run's lock, or doesn't."""
    scope = scope_of_own(run.log_file)
    command = [*scope, sys.executable, "-P", "-m", "core.train.worker", *arguments]
    with run.log_file.open("ab") as log:
        ready, worker_end = os.pipe()
        with os.fdopen(ready, "rb") as ready_file:
            try:
                with _signals_held_back():
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
            return worker, ready_file.read().decode("utf-8", "surrogateescape")


def _refuse_foreign(run: RunDir) -> None:
    """What a run is told to do is its owner's word; root may go on with anyone's."""
    try:
        owner = run.path.stat().st_uid
    except OSError as error:
        raise UsageError(f"{run.path}: can't be looked at: {error.strerror}") from error
    if os.geteuid() not in (0, owner):
        raise UsageError(
            f"{run.path}: belongs to another user (id {owner}); copy the folder into your own "
            "runs, or ask its owner to resume it"
        )


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A process started in the block hears signals only once it's ready to obey them."""
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def report_ready(word: str = "ready") -> None:
    """Called by the worker once it holds the lock; any other word is the reason it doesn't."""
    if (given := os.environ.pop(READY_VARIABLE, None)) is not None:
        with os.fdopen(int(given), "wb") as pipe:
            pipe.write(word.encode("utf-8", "surrogateescape"))


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
    command = [sys.executable, "-P", "-m", "core.demo.prepare", str(folder)]
    try:
        maker = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise KocrError(f"{folder}: can't make the demo: {error.strerror}") from error
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
    stop: threading.Event | None = None,
) -> PlanReport:
    """Has the planner answer ``request`` in a process of its own; takes seconds to minutes.

    ``tell`` hears how many steps are done, how many there are, and which is next. ``command`` gets
    the request's file and the report's. Raises UsageError or KocrError with the planner's last
    line, and StoppedError once ``stop`` is set; that and Ctrl-C end the planner.
    """
    with tempfile.TemporaryDirectory(prefix="kocr-plan-") as folder:
        asked, answer = (Path(folder) / name for name in ("request", "report"))
        asked.write_bytes(msgspec.json.encode(request))
        run_told([*command, str(asked), str(answer)], tell, stop, called="the planner")
        if not answer.exists():
            raise KocrError("the planner ended with code 0 and no word")
        return msgspec.json.decode(answer.read_bytes(), type=PlanReport)


def run_told(
    command: Sequence[str],
    tell: Callable[[int, int, str], None],
    stop: threading.Event | None,
    *,
    called: str,
) -> None:
    """Runs a program that tells its progress in lines of ``DONE TOTAL WORDS``, and waits for it.

    It leads a process group of its own, all of which ends when ``stop`` is set or anything is
    raised. Raises StoppedError for the former, UsageError, GpuLostError or KocrError with its last
    line of standard error, or as the program ``called`` so, where it fails.
    """
    with tempfile.TemporaryFile() as errors:
        code = _run_group(list(command), errors, tell, stop)
        if code == 0:
            return
        errors.seek(0)
        told = errors.read().decode("utf-8", errors="replace").strip()
    # Not splitlines: a name in the line may hold what that takes for another end of line.
    reason = told.rsplit("\n", maxsplit=1)[-1] or f"{called} ended with code {code} and no word"
    kinds = {kind.exit_code: kind for kind in (UsageError, GpuLostError)}
    raise kinds.get(code, KocrError)(reason)


def _run_group(
    command: list[str],
    errors: IO[bytes],
    tell: Callable[[int, int, str], None],
    stop: threading.Event | None,
) -> int:
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=_environment(),
        process_group=0,
    ) as process:
        assert process.stdout is not None
        if stop is not None:
            # What is asked in passing must not slow a run that trains beside it.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PGRP, process.pid, _LOW_PRIORITY)
        try:
            for line in _lines(process.stdout, stop):
                if (told := _PROGRESS.fullmatch(line.strip())) is not None:
                    tell(int(told[1]), int(told[2]), told[3])
            return process.wait()
        except BaseException:
            # Its helpers wait for work and would outlive it, so all of its group end.
            os.killpg(process.pid, signal.SIGTERM)
            raise


def _lines(pipe: IO[bytes], stop: threading.Event | None) -> Iterator[str]:
    """The lines that come through a pipe until it ends; raises StoppedError once told to stop."""
    pending = b""
    while True:
        if stop is not None and stop.is_set():
            raise StoppedError("no longer wanted")
        if not select.select([pipe], [], [], None if stop is None else _STOP_SECONDS)[0]:
            continue
        read = os.read(pipe.fileno(), 65_536)
        *whole, pending = (pending + read).split(b"\n")
        yield from (line.decode("utf-8", errors="replace") for line in whole)
        if not read:
            yield pending.decode("utf-8", errors="replace")
            return


def _environment() -> dict[str, str]:
    """The allocator is set before torch is imported; NVML counts cards by PCI bus, so CUDA must."""
    return {**_DEFAULTS, **os.environ}
