"""The run folder: the one protocol between the worker, the console and the commands."""

import contextlib
import os
import re
import shutil
import time
import unicodedata
from pathlib import Path

import platformdirs

from core import lock, toml_file
from core.checkpoint_name import checkpoint_step
from core.config import RunConfig, read_config
from core.control_file import write_request
from core.errors import KocrError, UsageError
from core.event_log import EventReader
from core.events import Request
from core.whole_file import write_whole

_DELETING = ".deleting-"


def home() -> Path:
    """The folder of runs, caches and demo data: $KOCR_HOME, or the user's data folder."""
    if given := os.environ.get("KOCR_HOME"):
        return Path(given).expanduser().absolute()
    return platformdirs.user_data_path("kocr-tui")


def config_home() -> Path:
    """The folder of the user's own settings: $KOCR_CONFIG, or the platform's place."""
    if given := os.environ.get("KOCR_CONFIG"):
        return Path(given).expanduser()
    return platformdirs.user_config_path("kocr-tui")


def runs_folder(given: str | None = None) -> Path:
    """The folder that holds the runs: ``given`` (from --runs), or the one in ``home()``."""
    return Path(given).expanduser().absolute() if given else home() / "runs"


class RunDir:
    """One run's folder and the names in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def reserve_file(self) -> Path:
        """Room that a worker holds back for its last words on a full disk."""
        return self.path / ".reserve"

    @property
    def control_folder(self) -> Path:
        """Where requests to the worker wait, a file each."""
        return self.path / "control"

    @property
    def certificate_file(self) -> Path:
        return self.path / "certificate.json"

    @property
    def contract_file(self) -> Path:
        """What the run was begun with, from its first step on."""
        return self.path / "contract.json"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def alternatives_file(self) -> Path:
        """The plan that a person chose another setup from; a plan of that one alone follows it."""
        return self.path / "alternatives.json"

    @property
    def log_file(self) -> Path:
        return self.path / "worker.log"

    @property
    def heartbeat_file(self) -> Path:
        return self.path / "heartbeat"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    def age(self) -> float | None:
        """Seconds since the run was last launched or made; None if the folder is gone.

        By the wall clock; a time to come, after the clock was set back, is as far away as one past.
        """
        newest = (self.log_file, self.config_file)
        times = [path.stat().st_mtime for path in newest if path.exists()]
        return abs(time.time() - max(times)) if times else None

    def config(self) -> RunConfig:
        """The run's resolved config; raises UsageError if it can't be read."""
        return read_config(self.config_file)

    def events(self) -> EventReader:
        """A fresh reader that replays the run from its first event."""
        return EventReader(self.events_file)

    def request(self, request: Request) -> str:
        """Asks the worker for something and returns the request's id.

        It waits beside what else was asked (core.control_file). Raises OSError where it can't be
        written; core.asking knows what to do then.
        """
        return write_request(self.control_folder, request)

    def newest_step(self) -> int:
        """The step of the newest checkpoint by its name, 0 where there is none."""
        steps = (checkpoint_step(path.name) for path in self.checkpoints.glob("step-*"))
        return max((step for step in steps if step is not None), default=0)

    def worker_pid(self) -> int | None:
        """The process id of the worker that holds this run, or None."""
        return lock.holder(self.lock_file)

    def heartbeat_stamp(self) -> int | None:
        """What changes whenever the worker shows life; None if it never did."""
        try:
            return self.heartbeat_file.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def heartbeat_age(self) -> float | None:
        """Seconds since the worker last showed life, by the wall clock; None if it never did."""
        try:
            return max(0.0, time.time() - self.heartbeat_file.stat().st_mtime)
        except FileNotFoundError:
            return None


def create_run(folder: Path, config: RunConfig) -> RunDir:
    """Makes a new run folder (mode 0700) with its config; the id starts with the local time.

    Raises KocrError where that can't be done; nothing half-made stays.
    """
    path = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _new_folder(folder, _slug(config.name))
        _fill(RunDir(path), config)
    except OSError as error:
        where = error.filename or path
        raise KocrError(f"{where}: can't make the run folder: {error.strerror}") from error
    return RunDir(path)


def _new_folder(runs: Path, name: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        path = runs / f"{stamp}-{name}{suffix}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise KocrError(f"{runs}: too many runs were started in this second; try again")


def _fill(run: RunDir, config: RunConfig) -> None:
    try:
        run.checkpoints.mkdir()
        run.predictions.mkdir()
        run.control_folder.mkdir(mode=0o700)
        write_whole(run.config_file, toml_file.encode(config).encode())
    except OSError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise


def list_runs(folder: Path) -> list[RunDir]:
    """All runs in the folder, newest first; hidden folders and others' private ones are none."""
    if not folder.is_dir():
        return []
    found = [RunDir(path) for path in folder.iterdir() if _is_run(path)]
    return sorted(found, key=lambda run: run.id, reverse=True)


def find_run(folder: Path, run_id: str) -> RunDir:
    """The run whose id is, or uniquely starts or ends with, ``run_id``; "last" is the newest.

    Raises UsageError when there is none or more than one.
    """
    runs = list_runs(folder)
    if run_id == "last" and runs:
        return runs[0]
    exact = [run for run in runs if run.id == run_id]
    close = [run for run in runs if run.id.startswith(run_id) or run.id.endswith(run_id)]
    found = exact or close
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"{run_id}: no such run in {folder}; `kocr-tui runs` lists them")
    names = ", ".join(run.id for run in found[:5])
    raise UsageError(f"{run_id}: more than one run has that name: {names}")


def rename_run(run: RunDir, name: str) -> None:
    """Gives a run another name in its config; the folder and so the id stay.

    Raises UsageError for a name that breaks the rules of core.config or a config that can't be
    read, OSError where it can't be written.
    """
    config = toml_file.read(run.config_file, RunConfig)
    document = toml_file.plain(config) | {"name": unicodedata.normalize("NFC", name)}
    renamed = toml_file.convert(document, RunConfig, str(run.config_file))
    before = run.config_file.stat()
    write_whole(run.config_file, toml_file.encode(renamed).encode())
    # A run counts as just made by the time of its config.
    os.utime(run.config_file, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete_run(run: RunDir) -> None:
    """Deletes a run's folder, which is gone for everyone at once and from the disk after that.

    Links in it, and a run that is itself a link, are deleted and never followed. What an
    interrupted delete left beside it goes too. Raises UsageError where a worker holds the run or
    there is none, OSError where something can't be deleted.
    """
    if not run.config_file.is_file():
        raise UsageError(f"{run.path}: no such run")
    hidden = run.path.with_name(f"{_DELETING}{os.urandom(8).hex()}")
    with lock.hold(run.lock_file, lambda pid: f"{run.id}: busy: process {pid} is training it"):
        run.path.rename(hidden)
    for leftover in hidden.parent.glob(f"{_DELETING}*"):
        # Another console may be deleting the same leftover.
        with contextlib.suppress(FileNotFoundError):
            if leftover.is_symlink():
                leftover.unlink()
            else:
                shutil.rmtree(leftover)


def bytes_on_disk(run: RunDir) -> int:
    """The sum of the sizes of a run's files; links are not followed, and what is gone is 0."""
    if run.path.is_symlink():
        return run.path.lstat().st_size
    found = 0
    for folder, _folders, files in os.walk(run.path):
        for file in files:
            with contextlib.suppress(OSError):
                found += (Path(folder) / file).lstat().st_size
    return found


def _is_run(path: Path) -> bool:
    try:
        return not path.name.startswith(".") and (path / "config.toml").is_file()
    except PermissionError:
        return False


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip("-.") or "run"
