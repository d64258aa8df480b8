"""What the console says, in Korean or English: a folder a language, a file a subject."""

import functools
import os
import re
import tomllib
from importlib.resources import files
from typing import Literal

LANGUAGES = ("ko", "en")
_SECTION = re.compile(r"^\[(\w+)", re.MULTILINE)
_current = "en"


def use_language(language: str | None = None) -> str:
    """Chooses the language of every message, from the environment where none is given."""
    global _current  # noqa: PLW0603 - one console a process, as with gettext's install()
    _current = language or language_of(dict(os.environ))
    return _current


def language_of(environment: dict[str, str]) -> str:
    """``ko`` where LC_ALL, LC_MESSAGES or LANG (the first that is set) says Korean, else ``en``."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    chosen = next((environment[name] for name in names if environment.get(name)), "")
    return "ko" if chosen.lower().startswith("ko") else "en"


def language() -> Literal["ko", "en"]:
    """The language in use."""
    return "ko" if _current == "ko" else "en"


def say(key: str, **values: object) -> str:
    """The message of that key in the language in use, with its values filled in."""
    text = _subject(_current, _places(_current)[key.partition(".")[0]])[key]
    return text.format(**values) if values else text


def table(language: str) -> dict[str, str]:
    """Every message of a language, keys joined by dots: ``home.title``."""
    subjects = set(_places(language).values())
    return {key: text for file in subjects for key, text in _subject(language, file).items()}


@functools.cache
def _places(language: str) -> dict[str, str]:
    """Which file has a section, so that the first paint waits for no other's parsing."""
    folder = files(__package__) / language
    return {
        section: file.name
        for file in folder.iterdir()
        for section in _SECTION.findall(file.read_text(encoding="utf-8"))
    }


@functools.cache
def _subject(language: str, file: str) -> dict[str, str]:
    text = (files(__package__) / language / file).read_text(encoding="utf-8")
    return dict(_flat("", tomllib.loads(text)))


def _flat(prefix: str, node: dict[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in node.items():
        if isinstance(value, dict):
            found += _flat(f"{prefix}{key}.", value)
        else:
            found.append((prefix + key, str(value)))
    return found
