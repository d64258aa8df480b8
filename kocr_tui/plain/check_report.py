"""An audit for people: sections, bars and findings, 80 columns wide."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.data.audit.report import Audit, Budget, Finding, Photos, Spread, WorstRow
from kocr_tui import format as fmt
from kocr_tui.strings import say

_WIDTH = 80
_BAR = 36
_MOST_LINES = 6
_MARKS = {"failure": "✗", "warning": "!", "info": "·"}


def lines(audit: Audit) -> Iterator[str]:
    """The report, line by line."""
    yield say("check.rows", inputs=f"{audit.inputs:,}", kept=f"{audit.kept:,}")
    for file, count in audit.files.items():
        yield f"  {count:>9,}  {fmt.visible(file)}"
    if audit.photos is not None:
        yield from _photos(audit.photos)
    if audit.labels is not None:
        yield from _section("labels")
        yield _spread("characters", audit.labels.characters)
        yield from _bars(audit.labels.scripts)
    if audit.budgets:
        yield from _section("budgets")
        yield from _budgets(audit.budgets, exact=audit.text_tokens == "exact")
    if audit.worst is not None:
        yield from _section("worst")
        yield _worst("most_image", audit.worst.most_image_tokens)
        yield _worst("most_text", audit.worst.most_text_tokens)
        yield f"  {say('check.both')}: {audit.worst.both:,}"
    yield from _findings(audit)


def _photos(photos: Photos) -> Iterator[str]:
    yield from _section("photos")
    counts = {
        "check.distinct": f"{photos.distinct:,} ({fmt.size(photos.file_bytes)})",
        "check.formats": _listed(photos.formats),
        "check.modes": _listed(photos.modes),
        "check.turned": f"{photos.turned_by_exif:,}",
        "check.profiles": _listed(photos.profiles),
    }
    width = max(fmt.width(say(key)) for key in counts)
    for key, text in counts.items():
        yield f"  {fmt.pad(say(key), width)}  {text}"
    yield _spread("pixels", photos.pixels)
    yield _spread("aspect", photos.aspect)
    yield from _bars({f"≤ {upper} MP": count for upper, count in photos.megapixels.items()})


def _budgets(budgets: tuple[Budget, ...], *, exact: bool) -> Iterator[str]:
    heads = ("pixels", "mean", "p95", "max", "sequence", "shrunk")
    yield "  " + "  ".join(_right(say(f"check.head.{head}"), 10) for head in heads)
    bound = "" if exact else "≤ "
    for budget in budgets:
        limit = f"{budget.max_pixels:,}" if budget.max_pixels else say("check.native")
        cells = (
            limit,
            f"{budget.image_tokens.mean:,.0f}",
            f"{budget.image_tokens.p95:,.0f}",
            f"{budget.image_tokens.max:,.0f}",
            f"{bound}{budget.tokens.max:,.0f}",
            f"{budget.shrunk_share * 100:.1f} %",
        )
        yield "  " + "  ".join(_right(cell, 10) for cell in cells)
    if not exact:
        yield f"  {say('check.bounded')}"


def _findings(audit: Audit) -> Iterator[str]:
    yield from _section("findings")
    if not audit.findings:
        yield f"  ✓ {say('check.clean')}"
    for finding in audit.findings:
        yield from _finding(finding)
    width = max((len(reason) for reason in audit.set_aside), default=0)
    for reason, count in audit.set_aside.items():
        row = next(row for row in audit.rows_set_aside if row.reason == reason)
        example = f"{Path(row.file).name} line {row.line}: {row.sentence}"
        yield f"{count:>9,}  {reason:<{width}}  {fmt.visible(example)}"


def _finding(finding: Finding) -> Iterator[str]:
    key = finding.kind.replace("-", "_")
    text = say(f"check.finding.{key}", count=f"{finding.count:,}")
    yield f"  {_MARKS[finding.level]} {text}"
    for example in finding.examples[:3]:
        yield f"      {_cut(fmt.visible(example), _WIDTH - 6)}"


def _worst(key: str, row: WorstRow) -> str:
    place = fmt.visible(f"{row.file}:{row.line}")
    return f"  {say(f'check.{key}')}: {row.tokens:,}  {place}"


def _spread(key: str, spread: Spread) -> str:
    values = {"p5": spread.p5, "p50": spread.p50, "p95": spread.p95, "max": spread.max}
    figures = {
        name: f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
        for name, value in values.items()
    }
    return "  " + say(f"check.spread.{key}", **figures)


def _bars(counts: Mapping[str, int]) -> Iterator[str]:
    """A bar for each count that isn't zero."""
    shown = {name: count for name, count in counts.items() if count}
    total = sum(shown.values())
    width = max((fmt.width(name) for name in shown), default=0)
    block = _block()
    for name, count in shown.items():
        bar = block * max(1, round(_BAR * count / max(shown.values())))
        share = f"{count / total * 100:5.1f} %"
        yield f"  {fmt.pad(name, width)}  {bar:<{_BAR}}  {count:>9,}  {share}"


def _section(key: str) -> Iterator[str]:
    yield ""
    yield say(f"check.section.{key}")


def _listed(counts: Mapping[str, int]) -> str:
    if not counts:
        return fmt.NOTHING
    named = [f"{fmt.visible(name)} {count:,}" for name, count in list(counts.items())[:_MOST_LINES]]
    more = ", …" if len(counts) > _MOST_LINES else ""
    return ", ".join(named) + more


def _block() -> str:
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"


def _right(text: str, columns: int) -> str:
    return " " * max(0, columns - fmt.width(text)) + text


def _cut(text: str, columns: int) -> str:
    while fmt.width(text) > columns:
        text = text[:-2] + "…"
    return text
