"""The doctor's findings as lines for people."""

import shutil
import sys
import textwrap

from core.hardware.doctor import Finding
from kocr_tui import format as fmt

_MARKS = {"ok": "✓", "info": "·", "warning": "!", "failure": "✗"}
_PLAIN_MARKS = {"ok": "+", "info": "-", "warning": "!", "failure": "x"}
_LEAST_COLUMNS = 20


def findings_text(findings: list[Finding]) -> str:
    """A mark, the check and what was seen; below it what to type.

    In a terminal long sentences are folded below themselves, in a file or pipe each is a line.
    What to type is never folded, since it is there to be copied. Signs that standard output
    can't show are replaced.
    """
    columns = max(fmt.width(finding.check) for finding in findings)
    indent = " " * (columns + 4)
    signs = _shows("".join(_MARKS.values()) + "→")
    marks, arrow = (_MARKS, "→") if signs else (_PLAIN_MARKS, "->")
    lines: list[str] = []
    for finding in findings:
        first, *rest = _folded(fmt.visible(finding.detail), len(indent))
        lines.append(f"{marks[finding.state]} {fmt.pad(finding.check, columns)}  {first}")
        lines += [indent + line for line in rest]
        if finding.fix:
            lines.append(f"{indent}{arrow} {fmt.visible(finding.fix)}")
    return _showable("\n".join(lines))


def _folded(detail: str, indent: int) -> list[str]:
    if not sys.stdout.isatty():
        return [detail]
    room = max(_LEAST_COLUMNS, shutil.get_terminal_size().columns - indent)
    return textwrap.wrap(detail, room, break_long_words=False, break_on_hyphens=False)


def _shows(text: str) -> bool:
    return _showable(text) == text


def _showable(text: str) -> str:
    """``text`` with a question mark for what standard output can't show."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
