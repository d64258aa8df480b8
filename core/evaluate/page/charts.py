"""Charts as inline SVG: shares with their intervals, and how similarity is spread.

Colours are classes of the page's style, so that they follow light and dark.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from core.evaluate.page.html import Markup, tag
from core.evaluate.page.numbers import interval, percent
from core.evaluate.text import SIMILAR, Score

BINS = 20
SERIES_COLOURS = 6
_WIDTH = 540
_LABELS = 136
_FIGURES = 148
_PLOT = _WIDTH - _LABELS - _FIGURES
_LETTER = 6.6
_TOP = 24


@dataclass(frozen=True)
class Bar:
    """A share of one series and of how many rows it is."""

    score: Score
    n: int


@dataclass(frozen=True)
class BarGroup:
    """The bars of all series that stand together under a label."""

    label: str
    bars: Sequence[Bar]


def bars(title: str, groups: Sequence[BarGroup]) -> Markup:
    """Horizontal bars from 0 to 100 % with interval whiskers, a group a label.

    The bars of a group are drawn in the order and colours of the series.
    """
    thick = 14 if all(len(group.bars) == 1 for group in groups) else 11
    parts, top = [], float(_TOP)
    for group in groups:
        parts.append(_group(group, top, thick))
        top += len(group.bars) * (thick + 3) + 9
    grid = [_grid_line(share, top) for share in (0, 25, 50, 75, 100)]
    return _svg(title, _WIDTH, top, *grid, *parts)


def histogram(title: str, values: Sequence[float], series: int, highest: int) -> Markup:
    """How many rows have a similarity (0-100) in each of BINS equal bins, the last with 100.

    ``highest`` is the count that fills the height, so that several charts can share a scale.
    """
    left, width, height, foot = 40, 320, 130, 22
    counts = spread(values)
    each = width / BINS
    columns = [
        tag(
            "rect",
            tag("title", f"{index * 100 // BINS}–{(index + 1) * 100 // BINS}: {count:,}"),
            x=left + index * each + 0.75,
            y=_TOP + height * (1 - count / max(1, highest)),
            width=each - 1.5,
            height=height * count / max(1, highest),
            class_=colour(series) + ("" if index * 100 / BINS >= SIMILAR else " pale"),
        )
        for index, count in enumerate(counts)
    ]
    bottom = _TOP + height
    at_mark = left + width * SIMILAR / 100
    parts = [
        tag("line", x1=left, x2=left + width, y1=bottom, y2=bottom, class_="axis"),
        tag("line", x1=at_mark, x2=at_mark, y1=_TOP - 6, y2=bottom, class_="mark"),
        tag("text", "≥ 80", x=at_mark + 4, y=_TOP - 8, class_="tick"),
        tag("text", f"{highest:,}", x=left - 6, y=_TOP + 4, class_="tick end"),
        tag("text", "0", x=left - 6, y=bottom + 4, class_="tick end"),
        *(
            tag("text", str(value), x=left + width * value / 100, y=bottom + 16, class_="tick mid")
            for value in (0, 20, 40, 60, 80, 100)
        ),
    ]
    return _svg(title, left + width + 16, bottom + foot, *columns, *parts)


def whisker(score: Score, series: int) -> Markup:
    """One share on a line from 0 to 100 % with its interval, to stand beside its figure."""
    width, height, middle = 240, 14, 7
    low, high = score.low * width, score.high * width
    value = (score.value or 0.0) * width
    return tag(
        "svg",
        tag("rect", x=0, y=5, width=width, height=4, rx=2, class_="rail"),
        tag("rect", x=low, y=3, width=max(1.0, high - low), height=8, rx=4, class_=faint(series)),
        tag("circle", cx=value, cy=middle, r=4.5, class_=colour(series)),
        viewBox=f"-5 0 {width + 10} {height}",
        class_="whisker",
        aria_hidden="true",
    )


def spread(values: Sequence[float]) -> list[int]:
    """How many of ``values`` (0-100) are in each bin; a bin has its lower bound, the last 100."""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int(value * BINS / 100))] += 1
    return counts


def colour(series: int) -> str:
    """The class of a series' colour; they begin anew after SERIES_COLOURS."""
    return f"s{series % SERIES_COLOURS}"


def swatch(series: int) -> Markup:
    """A dot in a series' colour."""
    return tag("i", class_=f"swatch {colour(series)}")


def faint(series: int) -> str:
    """The same, see-through."""
    return f"{colour(series)} faint"


def fitting(text: str, units: float) -> str:
    """``text``, cut with an ellipsis where it is wider than ``units`` of a chart."""
    room = units / _LETTER
    for index, letter in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if room < 0:
            return text[: max(0, index - 1)] + "…"
    return text


def _group(group: BarGroup, top: float, thick: int) -> Markup:
    middle = top + len(group.bars) * (thick + 3) / 2
    label = fitting(group.label, _LABELS - 12)
    return tag(
        "g",
        tag("text", label, x=_LABELS - 12, y=middle + 3, class_="label end"),
        *(
            _bar(bar, series, top + series * (thick + 3), thick)
            for series, bar in enumerate(group.bars)
        ),
        tag("title", _tooltip(group)),
    )


def _bar(bar: Bar, series: int, top: float, thick: int) -> Markup:
    middle = top + thick / 2
    share = bar.score.value
    figures = tag(
        "text",
        percent(bar.score),
        tag("tspan", f" {interval(bar.score)}  n={bar.n:,}", class_="quiet"),
        x=_LABELS + _PLOT + 10,
        y=middle + 4,
        class_="figure",
    )
    if share is None:
        return figures
    low, high = _x(bar.score.low), _x(bar.score.high)
    return tag(
        "g",
        tag(
            "rect",
            x=_LABELS,
            y=top,
            width=share * _PLOT,
            height=thick,
            rx=2,
            class_=colour(series),
        ),
        tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="interval"),
        tag("line", x1=low, x2=low, y1=middle - 3, y2=middle + 3, class_="interval"),
        tag("line", x1=high, x2=high, y1=middle - 3, y2=middle + 3, class_="interval"),
        figures,
    )


def _grid_line(share: int, bottom: float) -> Markup:
    at = _x(share / 100)
    return tag(
        "g",
        tag("line", x1=at, x2=at, y1=_TOP - 6, y2=bottom - 4, class_="grid"),
        tag("text", f"{share} %", x=at, y=_TOP - 11, class_="tick mid"),
    )


def _tooltip(group: BarGroup) -> str:
    each = (f"{percent(bar.score)} {interval(bar.score)} n={bar.n:,}" for bar in group.bars)
    return f"{group.label}: {'; '.join(each)}"


def _x(share: float) -> float:
    return _LABELS + share * _PLOT


def _svg(title: str, width: float, height: float, *parts: Markup) -> Markup:
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        class_="chart",
        role="img",
        aria_label=title,
    )
