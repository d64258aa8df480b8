"""The new-run form as data: its fields, and what is wrong with a value; no widgets.

Limits are those of core.config: each value is converted by the engine's own rules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core import toml_file
from core.config import RunConfig, resolve_paths
from core.errors import UsageError
from kocr_tui.strings import say

Kind = Literal["text", "whole", "choice", "file", "model"]
DEFAULT_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
_LIMIT = re.compile(r"expected `\w+` (?P<sign>>=|<=|>) (?P<limit>[\d.]+)")
_LIMIT_KEYS = {">=": "at_least", "<=": "at_most", ">": "above"}


@dataclass(frozen=True)
class Field:
    """A field: its key in the config, what kind of value it takes, and what it begins with."""

    key: str
    kind: Kind
    default: str
    optional: bool = False

    @property
    def name(self) -> str:
        """The last part of the key, which names it in the strings."""
        return self.key.rpartition(".")[2]

    @property
    def label_name(self) -> str:
        """The name that its label goes by."""
        return "model" if self.key == "model.path" else self.name


FIELDS: tuple[Field, ...] = (
    Field("name", "text", "signs"),
    Field("device.profile", "choice", "auto"),
    Field("model.path", "model", DEFAULT_MODEL),
    Field("data.train", "file", ""),
    Field("data.validation", "file", ""),
    Field("lora.rank", "whole", "16"),
    Field("lora.targets", "choice", "language"),
    Field("tune.max_pixels", "whole", "", optional=True),
    Field("train.epochs", "whole", "1"),
    Field("train.batch", "whole", "16"),
    Field("train.micro_batch_tokens", "whole", "", optional=True),
)
_STAND_INS = {"name": "run", "model.path": "model", "data.train": "-", "data.validation": "-"}


def problem(field: Field, values: Mapping[str, str]) -> str | None:
    """Why this field's value can't be used, None where it can; other fields don't matter."""
    text = values[field.key].strip()
    if not text:
        return None if field.optional else say("new.problem.empty")
    if field.kind == "file" and not Path(text).expanduser().is_file():
        return say("new.problem.no_file")
    if field.kind == "model" and _is_path(text) and not Path(text).expanduser().is_dir():
        return say("new.problem.no_folder")
    if field.kind == "whole" and _whole(text) is None:
        return say("new.problem.number")
    try:
        toml_file.convert(_document({field.key: text}), RunConfig, field.key)
    except UsageError as error:
        return _explain(field, str(error))
    return None


def config_of(values: Mapping[str, str], folder: Path) -> RunConfig:
    """The config that the form describes, paths taken from ``folder``; raises UsageError."""
    given = {key: text.strip() for key, text in values.items() if text.strip()}
    config = toml_file.convert(_document(given), RunConfig, say("new.title"))
    return resolve_paths(config, folder)


def _document(given: Mapping[str, str]) -> dict[str, object]:
    kinds = {field.key: field.kind for field in FIELDS}
    document: dict[str, object] = {}
    for key, text in {**_STAND_INS, **given}.items():
        number = _whole(text) if kinds[key] == "whole" else None
        section, _dot, name = key.rpartition(".")
        table = document.setdefault(section, {}) if section else document
        assert isinstance(table, dict)
        table[name] = text if number is None else number
    return document


def _explain(field: Field, error: str) -> str:
    """The engine's reason in the user's language where it is a plain limit, else as it is."""
    if field.key == "name":
        return say("new.problem.name")
    if limit := _LIMIT.search(error):
        return say(f"new.problem.{_LIMIT_KEYS[limit['sign']]}", limit=limit["limit"])
    return error.removeprefix(f"{field.key}: ")


def _whole(text: str) -> int | None:
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        return None


def _is_path(text: str) -> bool:
    return text.startswith(("/", "~", "."))
