"""The scripts that a text is written in."""

import re

_SCRIPTS = {
    "hangul": re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]"),
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
    "digits": re.compile(r"\d"),
    "han": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "kana": re.compile(r"[\u3040-\u30ff]"),
}


def scripts_of(text: str) -> set[str]:
    """The scripts in a text: hangul, latin, digits, han, kana; no others are known."""
    return {name for name, pattern in _SCRIPTS.items() if pattern.search(text)}
