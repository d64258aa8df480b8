"""Small checkpoints that verify."""

from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from core.evaluate.rolling import RollingState
from core.train.checkpoints import checkpoint, manifest
from core.train.checkpoints.checkpoint import TrainerState
from core.train.validation import ValidationState


def state_at(step: int) -> TrainerState:
    """A state with nothing in it but the step."""
    rolling = RollingState(position=0, scores=())
    validation = ValidationState(rolling=rolling, trained_s=0.0, slices_s=0.0, selections_s=0.0)
    return TrainerState(step=step, validation=validation, best=None)


def write_some(folder: Path, step: int = 1, state: TrainerState | None = None) -> None:
    """All files of a checkpoint, with one matrix; ``state`` is an empty one where none is given."""
    (folder / "adapter").mkdir()
    save_file({"weight": torch.full((2, 3), step)}, folder / checkpoint.OPTIMIZER_FILE)
    save_file({"weight": torch.ones(2)}, folder / "adapter" / "adapter_model.safetensors")
    (folder / "adapter" / "adapter_config.json").write_bytes(b"{}")
    (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state or state_at(step)))


def save_some(folder: Path, step: int) -> Path:
    return checkpoint.save(folder, step, lambda into: write_some(into, step))


def reseal(path: Path) -> None:
    """Makes the manifest of a checkpoint agree with its files, whatever they have become."""
    (path / checkpoint.MANIFEST_FILE).unlink()
    manifest.seal(path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
