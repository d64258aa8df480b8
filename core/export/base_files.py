"""The files of a base model that go with an export of it, and what it is called."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from transformers.utils import cached_file

from core.config import ModelConfig
from core.errors import KocrError, UsageError, first_line

CONFIG = "config.json"
GENERATION = "generation_config.json"
TEXT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
)
LICENCES = ("LICENSE", "NOTICE")
_SNAPSHOTS = "snapshots"
_REPOSITORY = "models--"


def base_file(model: ModelConfig, name: str) -> Path | None:
    """Where a file of the base lies on this disk, None if the base has none of that name.

    Raises UsageError if that can't be told.
    """
    try:
        found = cached_file(
            model.path,
            name,
            revision=model.revision,
            _raise_exceptions_for_missing_entries=False,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"{model.path}: can't look for {name}: {first_line(error)}") from error
    return None if found is None else Path(found)


def read_json(model: ModelConfig, name: str) -> dict[str, Any] | None:
    """A JSON object of the base, None where it has no such file; raises KocrError for another."""
    path = base_file(model, name)
    return None if path is None else parsed(path)


def parsed(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises KocrError if that isn't what it holds."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise KocrError(f"{path}: not JSON: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise KocrError(f"{path}: not a JSON object")
    return found


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes it for people, too."""
    path.write_bytes(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def copy_files(model: ModelConfig, names: Iterable[str], folder: Path) -> None:
    """Copies those files that the base has, whatever links they are behind."""
    for name in names:
        if (path := base_file(model, name)) is not None:
            (folder / name).write_bytes(path.read_bytes())


def published(model: ModelConfig) -> tuple[str, str | None]:
    """The base's id on the hub and its commit, also of a folder in the hub's cache.

    A folder from elsewhere is called by its path, and has no commit.
    """
    folder = Path(model.path).expanduser()
    if not folder.is_dir():
        return model.path, model.revision
    repository = folder.parents[1].name if folder.parent.name == _SNAPSHOTS else ""
    if repository.startswith(_REPOSITORY):
        return repository.removeprefix(_REPOSITORY).replace("--", "/", 1), folder.name
    return model.path, None


def licence(model: ModelConfig) -> str | None:
    """The licence that the base's own card names, None where it has no card or names none."""
    # A card is for people and may hold anything: one that can't be parsed is no failure.
    with contextlib.suppress(Exception):
        path = base_file(model, "README.md")
        if path is not None:
            named = ModelCard(path.read_text(encoding="utf-8")).data.get("license")
            return named if isinstance(named, str) else None
    return None
