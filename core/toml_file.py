"""TOML files read into frozen msgspec structs, with errors that name the file and the key."""

import re
import stat
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from core.errors import UnknownKeyError, UsageError, first_line

Struct = TypeVar("Struct", bound=msgspec.Struct)
_KEY_PATH = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"unknown field `(?P<key>[^`]*)`")


def decode(text: str, kind: type[Struct], source: str) -> Struct:
    """Parses TOML ``text`` into ``kind``; ``source`` names it in errors.

    Raises UsageError for broken TOML, wrong types and impossible values, and its kind
    UnknownKeyError for unknown keys, naming the key's path.
    """
    try:
        document = tomllib.loads(text)
    # Beside its own error, a number of too many digits and nesting that is too deep.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: not valid TOML: {first_line(error)}") from error
    return convert(document, kind, source)


def convert(document: object, kind: type[Struct], source: str) -> Struct:
    """Turns plain values into ``kind`` with the same errors as ``decode``."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        kind_of_error = UnknownKeyError if _UNKNOWN_KEY.search(str(error)) else UsageError
        raise kind_of_error(f"{source}: {explain(error)}") from error


def explain(error: msgspec.ValidationError) -> str:
    """One line for a validation error: ``train.rank: expected `int` >= 1``."""
    match = _KEY_PATH.match(str(error))
    assert match is not None
    problem = match["problem"]
    path = (match["path"] or "$").removeprefix("$").removeprefix(".").replace("[...]", "")
    if unknown := _UNKNOWN_KEY.search(problem):
        key = ".".join(filter(None, (path, unknown["key"])))
        return f"{key}: unknown key"
    problem = problem[:1].lower() + problem[1:]
    return f"{path}: {problem}" if path else problem


def read(path: Path, kind: type[Struct]) -> Struct:
    """Reads ``path`` as TOML into ``kind``; raises UsageError when that can't be done."""
    try:
        mode = path.stat().st_mode
        # A device or a pipe would be read for ever.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UsageError(f"{path}: not a file")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    return decode(text, kind, str(path))


def encode(value: msgspec.Struct) -> str:
    """TOML text of a struct; keys whose value is None are left out."""
    return tomli_w.dumps(plain(value))


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """A struct as the dictionaries that its TOML would give."""
    return _without_none(msgspec.to_builtins(value))


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }
