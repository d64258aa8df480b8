"""Checkpoints that are either whole and verified, or not there."""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.durable import flush
from core.errors import KocrError
from core.evaluate.text import Scores
from core.train.validation import ValidationState

STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
ADAPTER_FOLDER = "adapter"
OPTIMIZER_FILE = "optimizer.safetensors"
_NAME = re.compile(r"^step-(\d+)$")
_KEPT = 2


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The step whose adapter read the fixed subset best, and how well."""

    step: int
    scores: Scores


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run goes on with since memory ran out, for good.

    ``budget`` is what a micro-batch may hold (tokens) where that is less than was certified;
    ``recompute`` has the activations of all layers recomputed whatever the config says.
    """

    budget: int | None = None
    recompute: bool = False


class TrainerState(msgspec.Struct, frozen=True, kw_only=True):
    """Where training stands besides weights and optimizer; ``step`` counts finished steps.

    Everything random is drawn from the seed and the step, so no generator's state is needed.
    ``scaler`` is the loss scaler's state, empty where none is used. With ``savings`` kept, a run
    whose memory ran out packs every later step alike, resumed or not.
    """

    step: int
    validation: ValidationState
    best: Best | None
    scaler: dict[str, float] = {}
    savings: Savings = Savings()


class _FileRecord(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    files: dict[str, _FileRecord]


def save(folder: Path, step: int, write: Callable[[Path], None]) -> Path:
    """Writes checkpoint ``step`` by ``write(folder)`` and returns its path.

    It's made beside its place, flushed to disk with a manifest of sizes and SHA-256, and only
    then renamed. Raises KocrError if the disk doesn't take it; older checkpoints stay.
    """
    final = folder / f"step-{step:08d}"
    temporary = folder / f".{final.name}.{os.getpid()}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        _write_manifest(temporary)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        flush(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise KocrError(f"{final}: can't save the checkpoint: {error.strerror or error}") from error
    return final


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, and a line for each newer one that doesn't."""
    passed_over: list[str] = []
    for path in reversed(_all(folder)):
        problem = verify(path)
        if problem is None:
            return path, passed_over
        passed_over.append(f"{path.name} is passed over: {problem}")
    return None, passed_over


def verify(path: Path) -> str | None:
    """None if every file of the checkpoint is there with its size and hash, else what is wrong."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST_FILE).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{MANIFEST_FILE}: {error}"
    for name, record in manifest.files.items():
        with contextlib.suppress(OSError):
            if _record(path / name) == record:
                continue
        return f"{name} is missing or damaged"
    return None


def read_state(path: Path) -> TrainerState:
    """The trainer's state in a checkpoint that was verified."""
    return msgspec.json.decode((path / STATE_FILE).read_bytes(), type=TrainerState)


def runs_smaller(folder: Path) -> bool:
    """Whether the run has come to need less memory than was certified."""
    found, _passed_over = newest(folder)
    return found is not None and read_state(found).savings != Savings()


def retain(folder: Path, best_step: int | None) -> None:
    """Deletes all but the newest two and the best, and what killed saves left half-made."""
    checkpoints = _all(folder)
    for path in checkpoints[:-_KEPT]:
        if best_step is None or path.name != f"step-{best_step:08d}":
            shutil.rmtree(path, ignore_errors=True)
    for left_over in folder.glob(".step-*"):
        shutil.rmtree(left_over, ignore_errors=True)


def path_of(folder: Path, step: int) -> Path:
    """Where checkpoint ``step`` lies."""
    return folder / f"step-{step:08d}"


def _all(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.match(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _write_manifest(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        flush(path)
    records = {str(path.relative_to(folder)): _record(path) for path in files}
    manifest = folder / MANIFEST_FILE
    manifest.write_bytes(msgspec.json.encode(_Manifest(files=records)))
    for path in (manifest, *(p for p in folder.rglob("*") if p.is_dir()), folder):
        flush(path)


def _record(path: Path) -> _FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _FileRecord(bytes=path.stat().st_size, sha256=digest)
