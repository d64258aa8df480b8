"""What a person names to read with, as the reading process is asked for it."""

import re
from pathlib import Path

from core.checkpoint_name import checkpoint_step
from core.errors import UsageError
from core.reading import Checkpoint, Source
from core.run_dir import find_run

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ADAPTER = "adapter"
_CONFIG = {"adapter_config.json": "adapter", "config.toml": "run", "config.json": "model"}


def source_of(name: str, runs: Path, checkpoint: Checkpoint, *, base: bool) -> Source:
    """A run, an adapter's folder, or a base model, by an id or a path.

    A folder is told by what is in it; an adapter within a run is that run's checkpoint, whose
    pixel budget is known. Raises UsageError for what is none of these, and for a checkpoint of
    what has none.
    """
    folder = Path(name).expanduser()
    kind = next((kind for file, kind in _CONFIG.items() if (folder / file).is_file()), None)
    if kind == "adapter" and (within := _run_around(folder.resolve())) is not None:
        run, step = within
        return Source(run=str(run), checkpoint=step, base=base)
    if kind == "run":
        return run_source(folder, checkpoint, base=base)
    if kind is None and not _HUB_ID.fullmatch(name):
        return run_source(_run_named(name, folder, runs), checkpoint, base=base)
    if checkpoint != "best":
        raise UsageError(f"{name}: only a run has checkpoints; leave --checkpoint out")
    if kind == "adapter":
        return adapter_source(folder, base=base)
    if base:
        raise UsageError(f"{name}: a base model already; leave --base out")
    return Source(model=str(folder.resolve()) if kind == "model" else name)


def run_source(folder: Path, checkpoint: Checkpoint, *, base: bool) -> Source:
    """A run by its folder."""
    return Source(run=str(folder.absolute()), checkpoint=checkpoint, base=base)


def adapter_source(folder: Path, *, base: bool) -> Source:
    """An adapter by its folder, or its base."""
    return Source(adapter=str(folder.absolute()), base=base)


def _run_named(name: str, folder: Path, runs: Path) -> Path:
    try:
        return find_run(runs, name).path
    except UsageError:
        if not folder.exists():
            raise
    files = ", ".join(_CONFIG)
    raise UsageError(f"{name}: no run, adapter or model: it has none of {files}")


def _run_around(folder: Path) -> tuple[Path, int] | None:
    """The run and the step of a checkpoint's adapter, None for an adapter elsewhere."""
    if folder.name != _ADAPTER or len(folder.parents) < 3:
        return None
    step, run = checkpoint_step(folder.parent.name), folder.parents[2]
    return (run, step) if step is not None and (run / "config.toml").is_file() else None
