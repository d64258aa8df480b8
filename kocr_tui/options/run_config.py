"""Options, and a TOML file where one is given, as the config of a new run."""

import argparse
from pathlib import Path
from typing import Any

from core import toml_file
from core.config import RunConfig, read_config, resolve_paths
from core.errors import UsageError
from core.profile import load_profile

DEFAULT_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
_GOALS = ("max_pixels", "hours", "fastest")


def config_of_options(options: argparse.Namespace) -> RunConfig:
    """The file's config with the options laid over it.

    Raises UsageError for what is missing, wrong or not there.
    """
    document: dict[str, Any] = {}
    if options.config is not None:
        document = toml_file.plain(read_config(Path(options.config)))
    overrides = _overrides(options)
    if any(key in _GOALS for _section, key, _value in overrides):
        # The goals exclude each other, so that one given here is instead of the file's.
        for goal in _GOALS:
            document.get("tune", {}).pop(goal, None)
    for section, key, value in overrides:
        target = document.setdefault(section, {}) if section else document
        target[key] = value
    document.setdefault("model", {}).setdefault("path", DEFAULT_MODEL)
    data = document.setdefault("data", {})
    missing = [name for name in ("train", "validation") if name not in data]
    if missing:
        raise UsageError(f"give --{missing[0]} JSONL, or a config with -c FILE")
    document.setdefault("name", Path(data["train"]).absolute().parent.name or "run")
    config = toml_file.convert(document, RunConfig, options.config or "options")
    config = resolve_paths(config, Path.cwd())
    refuse_what_is_not_there(config)
    return config


def refuse_what_is_not_there(config: RunConfig) -> None:
    """Raises UsageError before a run folder is made for a request that can't begin."""
    load_profile(config.device.profile)
    for path in (config.data.train, config.data.validation):
        refuse_no_rows(Path(path))
    refuse_no_root(config.data.root)
    refuse_no_model(config.model.path)


def refuse_no_rows(path: Path) -> None:
    """Raises UsageError where there is no file of rows."""
    if not path.exists():
        raise UsageError(f"{path}: no such file; give the path of a Qwen2-VL JSONL file")
    if not path.is_file():
        raise UsageError(f"{path}: not a file; give the path of a Qwen2-VL JSONL file")


def refuse_no_root(root: str | None) -> None:
    """Raises UsageError where a data root is named that is no folder."""
    if root is not None and not Path(root).is_dir():
        raise UsageError(f"{root}: no such folder; give the folder that the photos are in as root")


def refuse_no_model(model: str) -> None:
    """Raises UsageError where ``model`` can only be a folder and is none."""
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        raise UsageError(f"{model}: no such folder; give a model folder or a hub id")


def _overrides(options: argparse.Namespace) -> list[tuple[str, str, Any]]:
    """Section, key and value of every option that was given."""
    places = {
        "name": "",
        "profile": "device",
        "capacity_gib": "device",
        "rank": "lora",
        "targets": "lora",
        "epochs": "train",
        "batch": "train",
        "micro_batch_tokens": "train",
        "checkpointing": "train",
        "dtype": "model",
        "processes": "device",
        "learning_rate": "train",
        "max_pixels": "tune",
        "hours": "tune",
        "train": "data",
        "validation": "data",
        "root": "data",
    }
    given = [
        (section, key, value)
        for key, section in places.items()
        if (value := getattr(options, key)) is not None
    ]
    if options.model is not None:
        given.append(("model", "path", options.model))
    if options.fastest:
        given.append(("tune", "fastest", True))
    if options.set_aside_bad_rows:
        given.append(("data", "bad_rows", "set-aside"))
    return given
