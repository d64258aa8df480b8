"""The parts of the page that hold figures: tiles, charts and tables."""

from collections.abc import Sequence

from core.evaluate.compare import SHARES, Difference, Pair
from core.evaluate.page.charts import Bar, BarGroup, bars, histogram, spread, swatch, whisker
from core.evaluate.page.html import Markup, tag
from core.evaluate.page.numbers import interval, p_value, percent, points
from core.evaluate.page.sets import Joined, NamedSet
from core.evaluate.page.words import Words
from core.evaluate.summary import Summary, measures_of
from core.evaluate.text import Score, Scores

HEADLINES = ("exact", "normalized", "similarity80")
BESIDE = (*HEADLINES, "accepted", "contained", "jaso")
_NOTHING = Score.of(0, 0)


def set_list(words: Words, sets: Sequence[NamedSet]) -> Markup:
    """What each set is and was read with."""
    return tag(
        "ul",
        *(
            tag("li", swatch(series), tag("b", each.name), tag("p", _read_with(words, each)))
            for series, each in enumerate(sets)
        ),
        class_="sets",
    )


def scores_section(words: Words, joined: Joined) -> Markup:
    """The three headline figures as tiles, with intervals."""
    tiles = (_tile(words, joined, name) for name in HEADLINES)
    several = " several" if len(joined.sets) > 1 else ""
    return _section(words.scores, words.interval, tag("div", *tiles, class_=f"tiles{several}"))


def beside_section(words: Words, joined: Joined) -> Markup:
    """The sets' scores beside each other, and each set against the first, row by row."""
    if joined.comparison is None:
        return Markup()
    groups = [
        BarGroup(words.measure[name], [_bar(summary, name) for summary in joined.summaries])
        for name in BESIDE
    ]
    chart = tag("div", key(joined), bars(words.comparison, groups), class_="panel")
    tables = (
        tag("div", _against(words, pair, series + 1), class_="panel")
        for series, pair in enumerate(joined.comparison.pairs)
    )
    panels = tag("div", chart, *tables, class_="panels")
    return _section(words.comparison, words.comparison_note, panels)


def spread_section(words: Words, joined: Joined) -> Markup:
    """How similar replies are to the truth, a histogram a set, all with one scale."""
    similar = [[measures_of(row).similarity for row in each.rows] for each in joined.sets]
    highest = max((max(spread(values)) for values in similar), default=0)
    charts = (
        tag(
            "div",
            *([tag("h3", swatch(series), each.name)] if len(joined.sets) > 1 else []),
            histogram(f"{words.spread}: {each.name}", values, series, highest),
            class_="panel",
        )
        for series, (each, values) in enumerate(zip(joined.sets, similar, strict=True))
    )
    return _section(words.spread, words.spread_note, tag("div", *charts, class_="panels narrow"))


def strata_section(words: Words, joined: Joined) -> Markup:
    """The normalised accuracy in each class of each way to divide the rows into several."""
    ways = dict.fromkeys(way for summary in joined.summaries for way in summary.strata)
    panels = [
        tag("div", tag("h3", words.dimension[way]), chart, class_="panel")
        for way in ways
        if (chart := _strata_chart(words, joined, way)) is not None
    ]
    if not panels:
        return Markup()
    legend = [key(joined)] if len(joined.sets) > 1 else []
    return _section(words.strata, words.strata_note, *legend, tag("div", *panels, class_="panels"))


def measures_section(words: Words, joined: Joined) -> Markup:
    """Every measure of every set in a table."""
    names = [name for name in words.measure if name in Summary.__struct_fields__]
    head = tag("tr", tag("th"), *(tag("th", each.name) for each in joined.sets))
    rows = (
        tag(
            "tr",
            tag("th", words.measure[name], *_meaning(words, name), scope="row"),
            *(tag("td", *_figure(getattr(summary, name))) for summary in joined.summaries),
        )
        for name in names
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return _section(words.all_measures, "", tag("div", table, class_="panel table"))


def key(joined: Joined) -> Markup:
    """Which colour is which set."""
    return tag(
        "p",
        *(tag("span", swatch(series), each.name) for series, each in enumerate(joined.sets)),
        class_="key",
    )


def _section(title: str, note: str, *parts: Markup) -> Markup:
    notes = [tag("p", note, class_="note")] if note else []
    return tag("section", tag("h2", title), *notes, *parts)


def _read_with(words: Words, each: NamedSet) -> str:
    header = each.header
    if header is None:
        return ""
    budget = None if header.max_pixels is None else f"{header.max_pixels:,}"
    values = {
        "reader": header.reader if header.reader != each.name else None,
        "model": header.model,
        "adapter": header.adapter,
        "max_pixels": budget,
        "data": header.data,
    }
    return " · ".join(f"{words.facts[name]} {value}" for name, value in values.items() if value)


def _tile(words: Words, joined: Joined, name: str) -> Markup:
    several = len(joined.sets) > 1
    figures = []
    for series, (each, summary) in enumerate(zip(joined.sets, joined.summaries, strict=True)):
        score: Score = getattr(summary, name)
        figures.append(
            tag(
                "div",
                *([tag("span", swatch(series), each.name)] if several else []),
                tag("strong", percent(score)),
                tag("small", interval(score)),
                whisker(score, series),
                class_="of-set",
            )
        )
    return tag(
        "div",
        tag("h3", words.measure[name]),
        tag("p", words.meaning[name]),
        *figures,
        class_="tile",
    )


def _against(words: Words, pair: Pair, series: int) -> Markup:
    heads = (words.difference, words.fixed, words.broken, words.p_value)
    rows = (
        tag("tr", tag("th", words.measure[name], scope="row"), *_change(pair.differences[name]))
        for name in SHARES
    )
    return tag(
        "table",
        tag(
            "thead",
            tag("tr", tag("th", swatch(series), pair.name), *(tag("th", head) for head in heads)),
        ),
        tag("tbody", *rows),
    )


def _change(change: Difference) -> list[Markup]:
    low_high = tag("small", f" [{points(change.low)}, {points(change.high)}]")
    return [
        tag("td", points(change.value), low_high),
        tag("td", f"{change.fixed:,}"),
        tag("td", f"{change.broken:,}"),
        tag("td", p_value(change.p)),
    ]


def _strata_chart(words: Words, joined: Joined, way: str) -> Markup | None:
    by_set = [summary.strata.get(way, {}) for summary in joined.summaries]
    classes = list(dict.fromkeys(name for classes in by_set for name in classes))
    if len(classes) < 2:
        return None
    groups = [
        BarGroup(_class_name(words, way, name), [_class_bar(found.get(name)) for found in by_set])
        for name in classes
    ]
    return bars(words.dimension[way], groups)


def _class_name(words: Words, way: str, name: str) -> str:
    """A class in words; categories are the data's own."""
    known = words.stratum["all"] | words.stratum.get(way, {})
    return known.get(name, name.replace("<=", "≤").replace("-", "–") if way in _RANGES else name)


_RANGES = ("length", "size")


def _class_bar(scores: Scores | None) -> Bar:
    return Bar(_NOTHING, 0) if scores is None else Bar(scores.normalized, scores.n)


def _bar(summary: Summary, name: str) -> Bar:
    return Bar(getattr(summary, name), summary.n)


def _meaning(words: Words, name: str) -> list[Markup]:
    return [tag("small", words.meaning[name])] if name in words.meaning else []


def _figure(score: Score) -> list[str]:
    return [percent(score), tag("small", f" {interval(score)}")]
