"""How the user wants the console: ``console.toml`` in the folder of their own settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from core import toml_file
from core.errors import UsageError
from core.run_dir import config_home
from kocr_tui.actions import use_keys
from kocr_tui.look.ascii import needs_ascii

ThemeName = Literal["auto", "dark", "light", "contrast", "basic"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``console.toml`` may hold; ``keys`` maps action ids to comma lists of keys."""

    theme: ThemeName = "auto"
    ascii: Literal["auto"] | bool = "auto"
    language: Literal["auto", "ko", "en"] = "auto"
    keys: dict[str, str] = {}


@dataclass(frozen=True)
class Look:
    """How one console looks: a theme's name or ``auto``, glyphs, language, the user's keys."""

    theme: str = "dark"
    ascii: bool = False
    language: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


def settings_file() -> Path:
    """``$KOCR_CONFIG/console.toml``, or the same in the platform's place for settings."""
    return config_home() / "console.toml"


def read_settings(file: Path) -> Settings:
    """The settings in the file, the defaults where there is no file.

    Raises UsageError, naming file and key, for what can't be read or makes no sense.
    """
    if not file.exists():
        return Settings()
    settings = toml_file.read(file, Settings)
    try:
        use_keys(settings.keys)
    except ValueError as error:
        raise UsageError(f"{file}: keys.{error}") from error
    return settings


def look_of(theme: str | None = None, in_ascii: bool = False, language: str | None = None) -> Look:
    """The look that the command line asks for, over the user's settings, over the terminal's.

    Raises UsageError as ``read_settings`` does.
    """
    settings = read_settings(settings_file())
    drawn = needs_ascii(os.environ) if settings.ascii == "auto" else settings.ascii
    own = None if settings.language == "auto" else settings.language
    return Look(theme or settings.theme, in_ascii or drawn, language or own, settings.keys)
