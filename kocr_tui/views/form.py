"""The new-run form as data: its fields, and what is wrong with a value; no widgets.

Limits are those of core.config: each value is converted by the engine's own rules.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core import toml_file
from core.config import RunConfig, resolve_paths
from core.errors import UsageError
from kocr_tui.reading.completion import TRAIN_NAME, VALIDATION_NAMES, is_file, is_folder, rows_file
from kocr_tui.strings import say

Kind = Literal["text", "whole", "number", "choice", "file", "folder", "model"]
Goal = Literal["largest", "fastest", "hours", "fixed"]
DEFAULT_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
GOAL = "tune.goal"
_LIMIT = re.compile(r"expected `\w+` (?P<sign>>=|<=|>|<) (?P<limit>[\d.]+)")
_LIMIT_KEYS = {">=": "at_least", "<=": "at_most", ">": "above", "<": "below"}
# The number that a goal needs, by the key of its field.
_GOAL_NUMBERS: dict[str, Goal] = {"tune.max_pixels": "fixed", "tune.hours": "hours"}
ROW_NAMES = {"data.train": (TRAIN_NAME,), "data.validation": VALIDATION_NAMES}


@dataclass(frozen=True)
class Field:
    """A field: its key in the config, what kind of value it takes, and what it begins with.

    The goal's key is no key of the config: it says which of three keys is given, if any.
    """

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
    Field("data.train", "file", ""),
    Field("data.validation", "file", ""),
    Field("data.bad_rows", "choice", "refuse"),
    Field("model.path", "model", DEFAULT_MODEL),
    Field("device.profile", "choice", "auto"),
    Field(GOAL, "choice", "largest"),
    Field("tune.max_pixels", "whole", "", optional=True),
    Field("tune.hours", "number", "", optional=True),
    Field("name", "text", "signs"),
    Field("lora.rank", "whole", "16"),
    Field("lora.targets", "choice", "language"),
    Field("train.epochs", "whole", "1"),
    Field("train.batch", "whole", "16"),
    Field("train.micro_batch_tokens", "whole", "", optional=True),
    Field("validation.share", "number", "0.1"),
    Field("data.root", "folder", "", optional=True),
)
_KINDS = {field.key: field.kind for field in FIELDS}
_STAND_INS = {"name": "run", "model.path": "model", "data.train": "-", "data.validation": "-"}


def applies(field: Field, values: Mapping[str, str]) -> bool:
    """Whether the field counts: a goal's number does only for that goal."""
    goal = _GOAL_NUMBERS.get(field.key)
    return goal is None or values[GOAL] == goal


def problem(field: Field, values: Mapping[str, str]) -> str | None:
    """Why this field's value can't be used, None where it can; only the goal counts beside it."""
    text = values[field.key].strip()
    if not text:
        needed = not field.optional or values[GOAL] == _GOAL_NUMBERS.get(field.key)
        return say("new.problem.empty") if needed else None
    if (reason := _not_there(field, text)) is not None:
        return reason
    if field.kind in ("whole", "number") and value_of(field.key, text) is None:
        return say("new.problem.number")
    try:
        toml_file.convert(_document({field.key: text}), RunConfig, field.key)
    except UsageError as error:
        return _explain(field, str(error))
    return None


def config_of(values: Mapping[str, str], folder: Path) -> RunConfig:
    """The config that the form describes, paths taken from ``folder``; raises UsageError."""
    counting = {field.key for field in FIELDS if applies(field, values)}
    given = {key: text.strip() for key, text in values.items() if text.strip() and key in counting}
    for key, names in ROW_NAMES.items():
        given[key] = rows_file(given.get(key, ""), names)
    config = toml_file.convert(_document(given), RunConfig, say("new.title"))
    return resolve_paths(config, folder)


def value_of(key: str, text: str) -> int | float | None:
    """The number that a field's text means: ``1,003,520``, ``0.1``, ``10 %``; None for none."""
    plain = text.strip().replace(",", "").replace("_", "")
    try:
        if _KINDS[key] == "whole":
            return int(plain)
        percent = plain.endswith("%")
        number = float(plain.removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return number / 100 if percent else number


def _document(given: Mapping[str, str]) -> dict[str, object]:
    document: dict[str, object] = {}
    for key, text in {**_STAND_INS, **given}.items():
        section, _dot, name = key.rpartition(".")
        table = document.setdefault(section, {}) if section else document
        assert isinstance(table, dict)
        if key == GOAL:
            table["fastest"] = text == "fastest"
            continue
        number = value_of(key, text) if _KINDS[key] in ("whole", "number") else None
        table[name] = text if number is None else number
    return document


def _not_there(field: Field, text: str) -> str | None:
    """What is missing on the disk."""
    if field.kind == "file" and not is_file(rows_file(text, ROW_NAMES[field.key])):
        return say("new.problem.no_rows" if is_folder(text) else "new.problem.no_file")
    if field.kind == "folder" and not is_folder(text):
        return say("new.problem.no_folder")
    if field.kind == "model" and text.startswith(("/", "~", ".")) and not is_folder(text):
        return say("new.problem.no_folder")
    return None


def _explain(field: Field, error: str) -> str:
    """The engine's reason in the user's language where it is a plain limit, else as it is."""
    if field.key == "name":
        return say("new.problem.name")
    if limit := _LIMIT.search(error):
        return say(f"new.problem.{_LIMIT_KEYS[limit['sign']]}", limit=f"{float(limit['limit']):g}")
    return error.removeprefix(f"{field.key}: ")
