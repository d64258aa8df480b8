"""Which of a run's checkpoints reads."""

from pathlib import Path

from core.errors import KocrError, UsageError
from core.reading import Checkpoint
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint


def choose(run: RunDir, which: Checkpoint) -> tuple[Path, tuple[str, ...]]:
    """The checkpoint that was asked for, verified, and a line for each damaged one passed over.

    "best" is the one that read the fixed subset best, the newest where none has yet. Raises
    UsageError for one that isn't there, KocrError for one that is damaged.
    """
    if isinstance(which, int):
        return _whole(run, which), ()
    newest, passed_over = checkpoint.newest(run.checkpoints)
    if newest is None:
        raise UsageError(
            f"{run.id}: no checkpoint is saved yet; --base reads with its base model alone"
        )
    best = checkpoint.read_state(newest).best if which == "best" else None
    notes = tuple(f"{run.id}: {line}" for line in passed_over)
    return (newest if best is None else _whole(run, best.step)), notes


def _whole(run: RunDir, step: int) -> Path:
    path = checkpoint.path_of(run.checkpoints, step)
    if not path.is_dir():
        found = checkpoint.in_order(run.checkpoints)
        there = ", ".join(str(checkpoint.step_of(one)) for one in found) or "none"
        raise UsageError(f"{run.id}: no checkpoint of step {step}; there are: {there}")
    if (problem := checkpoint.verify(path)) is not None:
        raise KocrError(f"{path}: damaged: {problem}; --checkpoint last takes the newest whole one")
    return path
