"""What stands in the answers."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from core.data.audit.report import Finding, FindingKind, Labels, Level
from core.data.audit.rows import AuditRow
from core.data.audit.spread import spread
from core.evaluate.text import normalize
from core.scripts import scripts_of

LONG = 60
EXAMPLES = 5
_PHONE = re.compile(r"(?<!\d)(?:0\d{1,2}[-.) ]{1,2}\d{3,4}[-. ]\d{4}|1[568]\d\d[-. ]\d{4})(?!\d)")
_INVISIBLE = re.compile(r"[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_BREAK = re.compile(r"[\n\r\t\u2028\u2029]")
_COMMON = frozenset({"hangul", "latin", "digits"})


def describe(rows: Sequence[AuditRow]) -> Labels:
    """Lengths and scripts of all answers."""
    scripts = Counter("+".join(sorted(scripts_of(row.answer))) or "none" for row in rows)
    return Labels(
        distinct=len({row.answer for row in rows}),
        characters=spread(np.array([len(row.answer) for row in rows])),
        scripts=dict(scripts.most_common()),
        prompts=len({row.prompt for row in rows}),
    )


def findings(rows: Sequence[AuditRow]) -> list[Finding]:
    """What deserves a look, each with its first examples."""
    checks: tuple[tuple[Level, FindingKind, Callable[[AuditRow], bool]], ...] = (
        ("warning", "stored-in-nfd", lambda row: not row.nfc),
        ("warning", "invisible-character", lambda row: bool(_INVISIBLE.search(row.answer))),
        ("warning", "line-break", lambda row: bool(_BREAK.search(row.answer))),
        ("warning", "phone-number", lambda row: bool(_PHONE.search(row.answer))),
        ("warning", "long-answer", lambda row: len(row.answer) > LONG),
        ("warning", "answer-is-prompt", _repeats_prompt),
        ("info", "other-script", lambda row: bool(scripts_of(row.answer) - _COMMON)),
    )
    found = [
        finding(level, kind, [row.told for row in rows if is_so(row)])
        for level, kind, is_so in checks
    ]
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    if len(prompts) > 1:
        found.append(finding("info", "several-prompts", prompts))
    return [each for each in found if each.count]


def finding(level: Level, kind: FindingKind, examples: Sequence[str]) -> Finding:
    """A finding of as many as there are examples, the first of them kept."""
    return Finding(level=level, kind=kind, count=len(examples), examples=tuple(examples[:EXAMPLES]))


def _repeats_prompt(row: AuditRow) -> bool:
    answer = normalize(row.answer)
    return bool(answer) and answer == normalize(row.prompt)
