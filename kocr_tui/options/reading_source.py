"""What a person names to read with, as the reading process is asked for it."""

import re
from pathlib import Path

from core.checkpoint_name import checkpoint_step
from core.errors import UsageError
from core.reading import Checkpoint, Source
from core.run_dir import find_run
from kocr_tui.options.run_config import refuse_no_model

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ADAPTER = "adapter_config.json"
_FILES = {_ADAPTER: "adapter", "config.toml": "run", "config.json": "model"}


def source_of(name: str, runs: Path, checkpoint: Checkpoint, *, base: bool) -> Source:
    """A run by its id or folder, an adapter's folder, or a base model by its folder or hub id.

    Raises UsageError for what is none of these, and for a checkpoint or a base of what has none.
    """
    folder = Path(name).expanduser()
    kind = next((kind for file, kind in _FILES.items() if (folder / file).is_file()), None)
    if kind == "run" or (kind is None and not _HUB_ID.fullmatch(name)):
        return run_source(name, runs, checkpoint, base=base)
    if checkpoint != "best":
        raise UsageError(f"{name}: only a run has checkpoints; leave --checkpoint out")
    return adapter_source(name, base=base) if kind == "adapter" else model_source(name, base=base)


def run_source(name: str, runs: Path, checkpoint: Checkpoint, *, base: bool) -> Source:
    """A run by its folder, its id, or a start or end of it."""
    folder = Path(name).expanduser()
    if not (folder / "config.toml").is_file():
        try:
            folder = find_run(runs, name).path
        except UsageError:
            if not folder.exists():
                raise
            files = ", ".join(_FILES)
            raise UsageError(f"{name}: no run, adapter or model: it has none of {files}") from None
    return Source(run=str(folder.absolute()), checkpoint=checkpoint, base=base)


def adapter_source(name: str, *, base: bool) -> Source:
    """An adapter by its folder; within a run it's a checkpoint, whose pixel budget is known."""
    folder = Path(name).expanduser().absolute()
    if not (folder / _ADAPTER).is_file():
        raise UsageError(f"{name}: no adapter: it has no {_ADAPTER}")
    around = folder.resolve().parent
    step, run = checkpoint_step(around.name), around.parent.parent
    if step is not None and (run / "config.toml").is_file():
        return Source(run=str(run), checkpoint=step, base=base)
    return Source(adapter=str(folder), base=base)


def model_source(name: str, *, base: bool) -> Source:
    """A base model by its folder or hub id; it has no other base."""
    refuse_no_model(name)
    if base:
        raise UsageError(f"{name}: a base model already; leave --base out")
    folder = Path(name).expanduser()
    return Source(model=str(folder.resolve()) if folder.is_dir() else name)
