"""What the terminal can show."""

import os
import re
import sys
from collections.abc import Iterator

from core.hardware.doctor.finding import Finding

COLUMNS, ROWS = 80, 24
_NAME_256 = "export TERM=xterm-256color"
_BARE = ("", "dumb", "unknown")


def terminal() -> Iterator[Finding]:
    """Size, colours, encoding, and whether the charts' braille is likely to show."""
    kind = os.environ.get("TERM", "")
    yield size(kind)
    yield colours(kind)
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, names), "")
    unicode = re.search(r"utf-?8", locale, re.IGNORECASE) is not None
    if unicode:
        yield Finding("locale", "ok", locale)
    else:
        detail = f"{locale or 'not set'}: Korean may show as question marks"
        yield Finding("locale", "warning", detail, "export LC_ALL=C.UTF-8")
    yield braille(kind, unicode)


def size(kind: str) -> Finding:
    """The terminal's name and size in columns and rows."""
    inside = ", in tmux" if os.environ.get("TMUX") else ""
    try:
        columns, rows = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    except (OSError, ValueError):
        detail = "output is not a terminal, so the console cannot open here"
        return Finding("terminal", "info", detail)
    detail = f"{kind or 'TERM is not set'}, {columns}x{rows}{inside}"
    if kind in _BARE:
        return Finding("terminal", "failure", detail, _NAME_256)
    if columns < COLUMNS or rows < ROWS:
        wanted = f"{detail}: {COLUMNS}x{ROWS} is needed"
        return Finding("terminal", "warning", wanted, "enlarge the window")
    return Finding("terminal", "ok", detail)


def colours(kind: str) -> Finding:
    """How many colours the console would draw with, by the rules of its library."""
    if os.environ.get("NO_COLOR"):
        return Finding("colours", "info", "none, since NO_COLOR is set", "unset NO_COLOR")
    if os.environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return Finding("colours", "ok", "16 million")
    if kind.endswith(("-256color", "-kitty")):
        detail = "256; SSH drops COLORTERM, which would tell of 16 million"
        return Finding("colours", "info", detail, "export COLORTERM=truecolor")
    detail = f"{'none' if kind in _BARE else '16'} by TERM={kind}"
    return Finding("colours", "warning", detail, _NAME_256)


def braille(kind: str, unicode: bool) -> Finding:
    """Fonts can't be asked; the Linux console's has 512 glyphs, neither braille nor Hangul."""
    if kind == "linux":
        detail = "the Linux console's font has neither braille nor Hangul"
        return Finding("braille", "warning", detail, "connect over SSH from a desktop's terminal")
    if not unicode:
        detail = "charts need a UTF-8 locale"
        return Finding("braille", "warning", detail, "export LC_ALL=C.UTF-8")
    return Finding("braille", "ok", "likely, as nearly all terminals with UTF-8: ⣀⡠⠔⠊⠉")
