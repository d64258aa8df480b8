"""The page's words: a TOML a language beside this file, with the same keys in each."""

from importlib.resources import files
from typing import Literal

import msgspec

from core import toml_file

Language = Literal["ko", "en"]


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands on the page, with values in braces to be filled in.

    The tables are by the names of measures, of ways to divide rows, and of their classes, where
    ``all`` has the classes that any way may have.
    """

    title: str
    rows: str
    sets: str
    facts: dict[str, str]
    scores: str
    interval: str
    all_measures: str
    measure: dict[str, str]
    meaning: dict[str, str]
    spread: str
    spread_note: str
    strata: str
    strata_note: str
    dimension: dict[str, str]
    stratum: dict[str, dict[str, str]]
    comparison: str
    comparison_note: str
    difference: str
    fixed: str
    broken: str
    p_value: str
    misses: str
    fixed_rows: str
    broken_rows: str
    missed_by_all: str
    shown: str
    none_here: str
    legend: str
    marks: dict[str, str]
    truth: str
    reply: str
    no_reply: str
    empty_reply: str
    whole_reply: str
    no_photo: str
    photo_of: str
    row: str
    similarity: str
    footer: str


def words_in(language: Language) -> Words:
    """The words of a language."""
    file = files(__package__) / f"{language}.toml"
    return toml_file.decode(file.read_text(encoding="utf-8"), Words, file.name)
