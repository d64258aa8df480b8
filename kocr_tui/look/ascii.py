"""The console in ASCII: every drawn glyph becomes one of the same width, letters stay."""

import functools
import unicodedata
from collections.abc import Mapping

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_BRAILLE = range(0x2800, 0x2900)
_BOX = range(0x2500, 0x2580)
_HORIZONTAL = "─━┄┅┈┉╌╍╴╶╸╺╼╾"
_VERTICAL = "│┃┆┇┊┋╎╏╵╷╹╻╽╿║"
_GLYPHS = {
    **dict.fromkeys(_HORIZONTAL, "-"),
    **dict.fromkeys(_VERTICAL, "|"),
    **dict(zip("═╱╲╳", "=/\\X", strict=True)),
    # Shades, then bars from the left and from below.
    **dict(zip("█▓▒░", "#%=.", strict=True)),
    **dict.fromkeys("▏▎▍▌▋▊▉▐▕", "|"),
    **dict(zip("▁▂▃▄▅▆▇▀▔", "_.-=+*%''", strict=True)),
    **dict(zip("▖▗▘▝▚▞▙▛▜▟▤▥▄", "..''\\/####-|=", strict=True)),
    # Marks of states, probes, predictions and charts.
    **dict(zip("✓✔✗✘×★☆●○◆◇■□▪▶▷▸▼▽▾▲△▴◀◂", "++xxx**@o@o#o#>>>vvv^^^<<", strict=True)),
    **dict(zip("←→↑↓↵⏎⇧⇥", "<>^v<<^>", strict=True)),
    **dict(zip("…·•–—−‐‑≈≠≥≤±‖°␣", '~.*-----=!><+"o_', strict=True)),
    **dict(zip("‘’“”«»‹›", "''\"\"<><>", strict=True)),
}


class AsciiFilter(LineFilter):
    """Draws lines without anything beyond ASCII but letters; widths stay as they were."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(in_ascii(segment.text), segment.style)
            for segment in segments
        ]


def in_ascii(text: str) -> str:
    """The text with glyphs in ASCII, as wide as it was: ``▶ 학습 █░`` to ``> 학습 #.``."""
    return "".join(map(_character, text))


@functools.cache
def _character(character: str) -> str:
    if character.isascii() or unicodedata.category(character).startswith("L"):
        return character
    if character in _GLYPHS:
        return _GLYPHS[character]
    code = ord(character)
    if code in _BRAILLE:
        return _dots(code - _BRAILLE.start)
    if code in _BOX:
        return "+"
    return _other(character)


def _other(character: str) -> str:
    """A stand-in for what has none of its own, such as an emoji: as many columns, all ASCII."""
    columns = cell_len(character)
    likeness = unicodedata.normalize("NFKD", character)
    kept = likeness if likeness.isascii() and likeness.isprintable() else "?"
    return kept[:columns].ljust(columns)


def _dots(bits: int) -> str:
    """The stroke that a braille cell's dots look most like."""
    left = [row for row, bit in enumerate((0, 1, 2, 6)) if bits >> bit & 1]
    right = [row for row, bit in enumerate((3, 4, 5, 7)) if bits >> bit & 1]
    rows = left + right
    if not rows:
        return " "
    if len(rows) > 5:
        return "#"
    if max(rows) - min(rows) < 2:
        return "'--."[sum(rows) // len(rows)]
    lean = _mean(right) - _mean(left) if left and right else 0.0
    return "|" if abs(lean) < 0.5 else ("\\" if lean > 0 else "/")


def _mean(rows: list[int]) -> float:
    return sum(rows) / len(rows)


def needs_ascii(environment: Mapping[str, str]) -> bool:
    """Whether LC_ALL, LC_CTYPE or LANG (the first that is set) names an encoding but UTF-8.

    Where none is set, as in most containers, UTF-8 is taken for granted as Python does.
    """
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "C.UTF-8")
    encoding = locale.partition(".")[2].partition("@")[0]
    return encoding.replace("-", "").lower() != "utf8"
