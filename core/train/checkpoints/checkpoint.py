"""Checkpoints that are either whole and verified, or not there.

Nothing in one is ever unpickled: JSON and safetensors are all that is read.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from core.durable import flush, make_folder
from core.errors import KocrError, UnfitError, first_line
from core.evaluate.text import Scores
from core.train.checkpoints import manifest
from core.train.numbers import Numbers
from core.train.validation import ValidationState

STATE_FILE = "state.json"
MANIFEST_FILE = manifest.MANIFEST_FILE
ADAPTER_FOLDER = "adapter"
OPTIMIZER_FILE = "optimizer.safetensors"
_REPLACED = ".replaced"
_NAME = re.compile(rf"^step-(\d{{1,18}})({re.escape(_REPLACED)})?$")
_HIDDEN = ".step-"


class SaveError(KocrError):
    """The disk doesn't take a checkpoint; those that are there stay."""


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

    Everything random, the order of the samples among it, is drawn from the seed and the step, and
    the learning rate is a function of the step alone: so no generator's, sampler's or scheduler's
    state is needed. ``scaler`` is the loss scaler's state, empty where none is used. With
    ``savings`` kept, a run whose memory ran out packs every later step alike, resumed or not.
    ``event`` is the sequence number of the last event before it was saved;
    ``numbers`` tells of steps that were not finite.
    """

    step: int
    validation: ValidationState
    best: Best | None
    scaler: dict[str, float] = {}
    savings: Savings = Savings()
    event: int = 0
    numbers: Numbers = Numbers()


def save(folder: Path, step: int, write: Callable[[Path], None]) -> Path:
    """Writes checkpoint ``step`` by ``write(folder)`` and returns its path.

    It's made beside its place, flushed to disk with a manifest of sizes and SHA-256, and only
    then renamed. One of the same step goes aside under a name that ``newest`` knows, and is deleted
    when the new one is safe. Raises SaveError if the disk doesn't take it; older checkpoints stay.
    """
    final = folder / f"step-{step:08d}"
    temporary = folder / f".{final.name}.{os.getpid()}"
    try:
        make_folder(folder)
        sweep(folder)
        temporary.mkdir()
        write(temporary)
        manifest.seal(temporary)
        _put_in_place(temporary, final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) else None
        raise SaveError(
            f"{final}: can't save the checkpoint: {reason or first_line(error)}"
        ) from error
    return final


def _put_in_place(temporary: Path, final: Path) -> None:
    replaced = final.with_name(final.name + _REPLACED)
    if final.exists():
        # What was replaced by a save that was killed is worth more than one that is damaged.
        if verify(final) is None:
            remove(replaced)
            final.rename(replaced)
        else:
            remove(final)
    temporary.rename(final)
    flush(final.parent)
    remove(replaced)


def newest(
    folder: Path, read: Callable[[Path], None] | None = None
) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, and a line for each newer one that doesn't.

    Where ``read(path)`` raises UnfitError it is passed over too. Raises KocrError if there are such
    and no other can be had, since to begin anew would leave them behind.
    """
    passed_over: list[str] = []
    unfit = False
    for path in reversed(in_order(folder)):
        problem = verify(path)
        if problem is None:
            try:
                if read is not None:
                    read(path)
            except UnfitError as error:
                problem, unfit = str(error), True
            else:
                return path, passed_over
        passed_over.append(f"{path.name} is passed over: {problem}")
    if unfit:
        raise KocrError(f"{folder}: no checkpoint fits this run: {'; '.join(passed_over)}")
    return None, passed_over


def verify(path: Path, *, hashes: bool = True) -> str | None:
    """None if the checkpoint is whole and can be read, else what is wrong with it.

    Without ``hashes`` it's told from names and sizes alone, which takes no time.
    """
    try:
        manifest.check(path, hashes=hashes)
        if hashes:
            _check_content(path)
    except ValueError as error:
        return first_line(error)
    return None


def _check_content(path: Path) -> None:
    """Raises ValueError unless the state and the heads of all tensor files make sense."""
    try:
        read_state(path)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{STATE_FILE}: {error}") from error
    adapter = path / ADAPTER_FOLDER / "adapter_model.safetensors"
    for file in (adapter, path / OPTIMIZER_FILE):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{file.relative_to(path)}: {first_line(error)}") from error


def read_state(path: Path) -> TrainerState:
    """The trainer's state in a checkpoint that was verified."""
    return msgspec.json.decode((path / STATE_FILE).read_bytes(), type=TrainerState)


def runs_smaller(folder: Path) -> bool:
    """Whether the run has come to need less memory than was certified."""
    found, _passed_over = newest(folder)
    return found is not None and read_state(found).savings != Savings()


def remove(path: Path) -> None:
    """Deletes a checkpoint, which is gone at once and from the disk after that."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.deleted")
    with contextlib.suppress(OSError):
        path.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Deletes what killed saves left half-made and killed deletes half-deleted."""
    for left_over in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(left_over, ignore_errors=True)


def path_of(folder: Path, step: int) -> Path:
    """Where checkpoint ``step`` lies; aside, if a save that was to replace it was killed."""
    path = folder / f"step-{step:08d}"
    replaced = path.with_name(path.name + _REPLACED)
    return replaced if replaced.exists() and not path.exists() else path


def step_of(path: Path) -> int:
    """The step of a checkpoint by its name."""
    found = _NAME.match(path.name)
    assert found is not None
    return int(found[1])


def in_order(folder: Path) -> list[Path]:
    """All checkpoints, oldest first, whole or not; one that was being replaced before its heir."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.match(path.name)]
    return sorted(found, key=lambda path: (step_of(path), not path.name.endswith(_REPLACED)))
