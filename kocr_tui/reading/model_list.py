"""Models that a run could begin from: folders, the hub's cache on this disk, published ones.

Read from the disk alone; huggingface_hub takes long to import.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from core.visible_text import is_plain
from kocr_tui.reading.completion import Completion, complete_path

Where = Literal["folder", "cache", "hub"]
MODEL_TYPES = {"qwen2_vl": "Qwen2-VL", "qwen2_5_vl": "Qwen2.5-VL", "qwen3_vl": "Qwen3-VL"}
PUBLISHED = (
    "Qwen/Qwen2-VL-2B-Instruct",
    "Qwen/Qwen2-VL-7B-Instruct",
    "Qwen/Qwen2.5-VL-3B-Instruct",
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "Qwen/Qwen3-VL-2B-Instruct",
    "Qwen/Qwen3-VL-4B-Instruct",
    "Qwen/Qwen3-VL-8B-Instruct",
)
_MOST_FOLDERS = 500


@dataclass(frozen=True)
class KnownModel:
    """A model by what is typed for it, where it is, its family, and its weights' size in bytes."""

    name: str
    where: Where
    family: str = ""
    weight_bytes: int = 0


def known_models(folder: Path) -> tuple[KnownModel, ...]:
    """Those in ``folder`` (itself, below it, below its ``models``), in the cache, then the rest.

    Names that a terminal would obey are left out, since a field shows them as they are.
    """
    places = [folder, *_below(folder), *_below(folder / "models")]
    local = [_local(place, folder) for place in places]
    cached = list(_cached(hub_cache(dict(os.environ))))
    here = {model.name for model in cached}
    hub = [KnownModel(name, "hub") for name in PUBLISHED if name not in here]
    found = (*(model for model in local if model is not None), *cached, *hub)
    return tuple(model for model in found if is_plain(model.name))


def model_in(folder: Path) -> tuple[str, int] | None:
    """The family and the bytes of weights of a model's folder; None for any other folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    family = MODEL_TYPES.get(str(config.get("model_type"))) if isinstance(config, dict) else None
    return None if family is None else (family, _weight_bytes(folder))


def hub_cache(environment: dict[str, str]) -> Path:
    """Where huggingface_hub keeps downloads, by its own variables in its own order."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def _local(place: Path, folder: Path) -> KnownModel | None:
    found = model_in(place)
    if found is None:
        return None
    inside = place.relative_to(folder)
    name = f"./{inside}" if inside.parts else str(place)
    return KnownModel(name, "folder", *found)


def _below(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir() and not path.name.startswith(".")]


def _cached(cache: Path) -> Iterator[KnownModel]:
    for place in _listed(cache):
        kind, *parts = place.name.split("--")
        if kind != "models" or not parts:
            continue
        found = next(filter(None, map(model_in, _snapshots(place))), None)
        if found is not None:
            yield KnownModel("/".join(parts), "cache", *found)


def _snapshots(place: Path) -> Iterable[Path]:
    """The snapshot that ``main`` is at, then any other."""
    try:
        commit = (place / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = ""
    newest = [place / "snapshots" / commit] if commit else []
    return [*newest, *_listed(place / "snapshots")]


def _weight_bytes(folder: Path) -> int:
    files = (path for path in _listed(folder) if path.suffix == ".safetensors")
    return sum(_bytes(path) for path in files)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _listed(folder: Path) -> list[Path]:
    """What is in a folder by name, a bounded number; nothing where it can't be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FOLDERS)]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def complete_model(text: str, models: Sequence[KnownModel]) -> Completion:
    """Folders for a path, else models with ``text`` in the name; all where it's one already."""
    if text.startswith(("/", ".", "~")):
        return complete_path(text, folders_only=True)
    names = [model.name for model in models]
    wanted = text.strip().lower()
    matches = [name for name in names if wanted in name.lower()]
    best = next((name for name in names if name.startswith(text) and name != text), None)
    if text in names:
        return Completion(None, tuple(names))
    return Completion(best if text else None, tuple(matches))
