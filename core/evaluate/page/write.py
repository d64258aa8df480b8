"""Writes the page: one HTML file with style, charts and photos in it, and no scripts."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from core.evaluate.page import sections
from core.evaluate.page.gallery import gallery
from core.evaluate.page.html import Markup, tag, together
from core.evaluate.page.numbers import file_size
from core.evaluate.page.sets import Beside, Joined, NamedSet, join
from core.evaluate.page.thumbnails import thumbnails
from core.evaluate.page.words import Language, Words, words_in

MOST_CARDS = 200
_SIZE = Markup("{size of the page}")


@dataclass(frozen=True)
class WrittenPage:
    """How large the file is, and how many cards of rows are on it of those that could be."""

    size_bytes: int
    shown: int
    worth_showing: int


@dataclass(frozen=True)
class _Group:
    """Rows that are shown together under a title."""

    title: str
    rows: Sequence[Beside]


def write_page(
    path: Path,
    sets: Sequence[NamedSet],
    language: Language = "en",
    *,
    root: str | None = None,
    most_cards: int = MOST_CARDS,
    tell: Callable[[int, int], None] | None = None,
) -> WrittenPage:
    """Writes a page of one or more sets of scored predictions of the same rows.

    Of the first set's photos small copies are put in, ``most_cards`` at most; where ``root`` (a
    real path) is given, none that leads out of it. ``tell`` hears of copies made and in all. Raises
    UsageError where the sets are not of the same rows, ValueError for rows that aren't scored, and
    OSError where the file can't be written.
    """
    words = words_in(language)
    joined = join(sets)
    groups = _groups(words, joined)
    shares = fair_shares([len(group.rows) for group in groups], most_cards)
    shown = [group.rows[:share] for group, share in zip(groups, shares, strict=True)]
    photos = thumbnails((beside[0].image for rows in shown for beside in rows), root, tell)
    cards = [
        _gallery(words, joined, group, gallery(words, joined.names, rows, photos), len(rows))
        for group, rows in zip(groups, shown, strict=True)
    ]
    text = _document(words, language, joined, cards)
    # It's told in two or three figures, which its own few letters don't change.
    whole = text.replace(_SIZE, file_size(len(text.encode())))
    beside = path.with_name(path.name + ".new")
    beside.write_text(whole, encoding="utf-8")
    beside.replace(path)
    return WrittenPage(
        size_bytes=len(whole.encode()),
        shown=sum(shares),
        worth_showing=sum(len(group.rows) for group in groups),
    )


def fair_shares(lengths: Sequence[int], most: int) -> list[int]:
    """How many of each list to take, ``most`` in all: as even as they are long."""
    shares = [0] * len(lengths)
    left = most
    for rank, place in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[place] = min(lengths[place], left // (len(lengths) - rank))
        left -= shares[place]
    return shares


def _groups(words: Words, joined: Joined) -> list[_Group]:
    if joined.comparison is None:
        return [_Group(words.misses, joined.missed())]
    first = joined.sets[0].name
    groups = []
    for pair in joined.comparison.pairs:
        names = {"first": first, "other": pair.name}
        broken, fixed = joined.changed(pair.broken), joined.changed(pair.fixed)
        groups.append(_Group(words.broken_rows.format(**names), broken))
        groups.append(_Group(words.fixed_rows.format(**names), fixed))
    return [*groups, _Group(words.missed_by_all, joined.missed())]


def _gallery(words: Words, joined: Joined, group: _Group, cards: Markup, count: int) -> Markup:
    shown = words.shown.format(shown=f"{count:,}", n=f"{len(group.rows):,}")
    several = " several" if len(joined.sets) > 1 else ""
    return tag(
        "section",
        tag("h2", group.title),
        tag("p", shown if group.rows else words.none_here, class_="note"),
        cards,
        class_=f"cards{several}",
    )


def _document(words: Words, language: Language, joined: Joined, cards: Sequence[Markup]) -> Markup:
    style = Markup((files(__package__) / "page.css").read_text(encoding="utf-8"))
    body = tag(
        "body",
        _header(words, joined),
        tag(
            "main",
            sections.scores_section(words, joined),
            sections.beside_section(words, joined),
            sections.spread_section(words, joined),
            sections.strata_section(words, joined),
            sections.measures_section(words, joined),
            _legend(words),
            *cards,
        ),
        tag("footer", words.footer.format(size=_SIZE)),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", words.title),
        tag("style", style),
    )
    return together([Markup("<!DOCTYPE html>\n"), tag("html", head, body, lang=language)])


def _policy(style: str) -> str:
    """What the page may load: its own style, known by its hash, and pictures that are in it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _header(words: Words, joined: Joined) -> Markup:
    rows = f"{joined.summaries[0].n:,}"
    several = len(joined.sets) > 1
    lead = (
        words.sets.format(n=len(joined.sets), rows=rows) if several else words.rows.format(n=rows)
    )
    return tag(
        "header",
        tag("h1", words.title),
        tag("p", lead, class_="lead"),
        sections.set_list(words, joined.sets),
    )


def _legend(words: Words) -> Markup:
    return tag(
        "p",
        words.legend,
        *(
            tag(element, words.marks[kind])
            for kind, element in (("replaced", "mark"), ("missing", "del"), ("added", "ins"))
        ),
        class_="legend",
    )
