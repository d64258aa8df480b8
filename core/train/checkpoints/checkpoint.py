"""Checkpoints that are either whole and verified, or not there.

Nothing in one is ever unpickled: JSON and safetensors are all that is read.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from core.checkpoint_name import REPLACED, checkpoint_name, checkpoint_step
from core.contract import Keys
from core.durable import flush, make_folder
from core.errors import KocrError, UnfitError, first_line
from core.evaluate.rolling import RollingState
from core.evaluate.text import Scores
from core.train.checkpoints import manifest
from core.train.numbers import Numbers
from core.train.validation import ValidationState

STATE_FILE = "state.json"
MANIFEST_FILE = manifest.MANIFEST_FILE
ADAPTER_FOLDER = "adapter"
OPTIMIZER_FILE = "optimizer.safetensors"
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
    ``event`` is the sequence number of the last event before it was saved; ``numbers`` tells of
    steps that were not finite; ``keys`` are what both are worth something for.
    """

    step: int
    validation: ValidationState
    best: Best | None
    scaler: dict[str, float] = {}
    savings: Savings = Savings()
    event: int = 0
    numbers: Numbers = Numbers()
    keys: Keys = Keys()


def save(folder: Path, step: int, write: Callable[[Path], None]) -> Path:
    """Writes checkpoint ``step`` by ``write(folder)`` and returns its path.

    It's made beside its place, flushed to disk with a manifest of sizes and SHA-256, and only
    then renamed. One of the same step goes aside under a name that ``newest`` knows, and is deleted
    when the new one is safe. Raises SaveError if the disk doesn't take it; older checkpoints stay.
    """
    final = folder / checkpoint_name(step)
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
    replaced = final.with_name(final.name + REPLACED)
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

    Where ``read(path)`` raises UnfitError it is passed over too. Raises KocrError if there are
    checkpoints and none can be had, since to begin anew would leave what they hold behind.
    """
    passed_over: list[str] = []
    for path in reversed(in_order(folder)):
        problem = verify(path)
        if problem is None:
            try:
                if read is not None:
                    read(path)
            except UnfitError as error:
                problem = str(error)
            else:
                return path, passed_over
        passed_over.append(f"{path.name} is passed over: {problem}")
    if passed_over:
        raise KocrError(
            f"{folder}: no checkpoint can be gone on from: {'; '.join(passed_over)}; see to the "
            "disk, then resume, or delete that folder to begin anew"
        )
    return None, passed_over


def verify(path: Path, *, hashes: bool = True) -> str | None:
    """None if the checkpoint is whole and can be read, else what is wrong with it.

    Without ``hashes`` it's told from names and sizes alone, which takes no time.
    """
    try:
        check(path, hashes=hashes)
    except ValueError as error:
        return first_line(error)
    return None


def check(path: Path, *, hashes: bool = True) -> None:
    """Raises ValueError where ``verify`` finds something, UnreadableError where the disk fails."""
    manifest.check(path, hashes=hashes)
    if hashes:
        _check_content(path)


def _check_content(path: Path) -> None:
    """Raises ValueError unless the state and the heads of all tensor files make sense."""
    try:
        read_state(path)
    except OSError as error:
        raise manifest.unreadable(STATE_FILE, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{STATE_FILE}: {error}") from error
    adapter = path / ADAPTER_FOLDER / "adapter_model.safetensors"
    for file in (adapter, path / OPTIMIZER_FILE):
        name = str(file.relative_to(path))
        try:
            with safe_open(file, framework="numpy"):
                pass
        except OSError as error:
            raise manifest.unreadable(name, error) from error
        except SafetensorError as error:
            raise ValueError(f"{name}: {first_line(error)}") from error


def read_state(path: Path) -> TrainerState:
    """The trainer's state in a checkpoint that was verified."""
    return msgspec.json.decode((path / STATE_FILE).read_bytes(), type=TrainerState)


def under(state: TrainerState, keys: Keys) -> TrainerState:
    """What of a state still holds where ``keys`` are what things depend on now.

    Scores of other validation rows don't, nor that training must not go back a second time, or
    pass over steps, if it's done otherwise now.
    """
    if state.keys.reads_otherwise(keys):
        unread = RollingState(position=0, scores=())
        validation = msgspec.structs.replace(state.validation, rolling=unread)
        state = msgspec.structs.replace(state, validation=validation, best=None)
    if state.keys.trains_otherwise(keys):
        numbers = msgspec.structs.replace(state.numbers, passed_over=(), back_at=None)
        state = msgspec.structs.replace(state, numbers=numbers)
    return state


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
    """Where checkpoint ``step`` lies; aside, if its heir was never there or is damaged."""
    path = folder / checkpoint_name(step)
    replaced = path.with_name(path.name + REPLACED)
    if replaced.exists() and (not path.exists() or verify(path) is not None):
        return replaced
    return path


def step_of(path: Path) -> int:
    """The step of a checkpoint by its name."""
    step = checkpoint_step(path.name)
    assert step is not None
    return step


def in_order(folder: Path) -> list[Path]:
    """All checkpoints, oldest first, whole or not; one that was being replaced before its heir."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if checkpoint_step(path.name) is not None]
    return sorted(found, key=lambda path: (step_of(path), not path.name.endswith(REPLACED)))
