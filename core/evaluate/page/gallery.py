"""Cards of rows: the photo, the truth, and what each set of predictions says of it."""

from collections.abc import Mapping, Sequence

from core.evaluate.page.charts import swatch
from core.evaluate.page.html import Markup, tag, together
from core.evaluate.page.marking import Piece, differing, shortened
from core.evaluate.page.thumbnails import Thumbnail
from core.evaluate.page.words import Words
from core.evaluate.predictions import ReadRow
from core.evaluate.summary import measures_of

_ELEMENTS = {"replaced": "mark", "missing": "del", "added": "ins"}


def gallery(
    words: Words,
    names: Sequence[str],
    rows: Sequence[Sequence[ReadRow]],
    photos: Mapping[str, Thumbnail],
) -> Markup:
    """A card a row; each of ``rows`` holds the same row of every set, in the order of ``names``.

    ``photos`` are by the path that the row of the first set has.
    """
    cards = (_card(words, names, of_sets, photos[of_sets[0].image]) for of_sets in rows)
    return tag("div", *cards, class_="gallery")


def _card(
    words: Words, names: Sequence[str], of_sets: Sequence[ReadRow], photo: Thumbnail
) -> Markup:
    first = of_sets[0]
    labels = [words.reply]
    if len(names) > 1:
        labels = [together([swatch(series), name]) for series, name in enumerate(names)]
    replies = (_reply(words, label, row) for label, row in zip(labels, of_sets, strict=True))
    return tag(
        "article",
        _picture(words, first, photo),
        tag(
            "dl",
            tag("dt", words.truth),
            tag("dd", _truth(of_sets), class_="truth"),
            *replies,
        ),
        tag("p", " · ".join(_facts(words, of_sets)), class_="facts"),
        class_="card",
    )


def _picture(words: Words, row: ReadRow, photo: Thumbnail) -> Markup:
    if photo.uri is None:
        return tag("div", tag("b", words.no_photo), tag("span", photo.why), class_="no-photo")
    width, height = photo.size
    alternative = words.photo_of.format(truth=shortened(row.truth))
    return tag("img", src=photo.uri, width=width, height=height, alt=alternative)


def _truth(of_sets: Sequence[ReadRow]) -> Markup:
    """Marked where it has one reply to differ from."""
    answer = of_sets[0].extracted
    if len(of_sets) > 1 or answer is None:
        return together([shortened(of_sets[0].truth)])
    return _marked(differing(of_sets[0].truth, answer)[0])


def _reply(words: Words, name: str, row: ReadRow) -> Markup:
    answer = row.extracted
    label = tag("dt", name)
    if answer is None:
        why = f"{words.no_reply}: {row.why}" if row.why else words.no_reply
        return together([label, tag("dd", shortened(why), class_="no-reply")])
    whole = (row.reply or "").strip()
    rest = (
        [tag("details", tag("summary", words.whole_reply), tag("p", whole))]
        if whole != answer.strip()
        else []
    )
    pieces = differing(row.truth, answer)[1]
    shown = _marked(pieces) if answer.strip() else tag("em", words.empty_reply)
    right = " right" if all(piece.kind == "same" for piece in pieces) else ""
    return together([label, tag("dd", shown, *rest, class_=f"reply{right}")])


def _marked(pieces: Sequence[Piece]) -> Markup:
    return together(
        piece.text if piece.kind == "same" else tag(_ELEMENTS[piece.kind], piece.text)
        for piece in pieces
    )


def _facts(words: Words, of_sets: Sequence[ReadRow]) -> list[str]:
    """The row, how similar each reply is, and the photo's size with what was read of it."""
    first = of_sets[0]
    similar = " / ".join(f"{measures_of(row).similarity:.0f}" for row in of_sets)
    facts = [words.row.format(row=f"{first.row:,}"), words.similarity.format(value=similar)]
    if first.size is not None:
        width, height = first.size
        facts.append(f"{width}×{height}")
        if first.read_size is not None and first.read_size != first.size:
            facts[-1] += f" → {first.read_size[0]}×{first.read_size[1]}"
    return facts
