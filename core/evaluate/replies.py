"""Replies made elsewhere, brought to the rows of a data set that they belong to."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from core.data.lines import numbered_lines
from core.errors import UsageError, first_line
from core.evaluate.labels import LabelledRow, drawn, photo_hash
from core.evaluate.predictions import ReadRow, row_id
from core.nfc import nfc
from core.visible_text import visible

_NAMED = 3
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class GivenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file of replies: which row it is for, and the reply (None: none came).

    One of ``id``, ``image`` and ``row`` is needed; the rest is what our own files have besides.
    ``line`` counts from 1.
    """

    reply: str | None
    line: int = 0
    id: str | int | None = None
    image: str | None = None
    row: int | None = None
    image_hash: str | None = None
    why: str | None = None
    tokens: int | None = None
    cut: bool = False
    ms: float | None = None
    read_size: tuple[int, int] | None = None


_DECODER = msgspec.json.Decoder(GivenReply)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_replies(path: Path) -> list[GivenReply]:
    """The replies in a JSONL file, one object a line: ``{"image" or "id" or "row", "reply"}``.

    An id is the "id" of a row or of its metadata, or what `row_id` makes of it. The header of our
    own files is passed over. Raises UsageError that names the file and the line for anything else,
    and for a file that can't be read or has no reply.
    """
    found: list[GivenReply] = []
    for number, _offset, line in numbered_lines(path):
        try:
            if "reply" not in (keys := _KEYS.decode(line)) and "predictions" in keys:
                continue
            given = _DECODER.decode(line)
        except _UNREADABLE as error:
            raise UsageError(f"{path} line {number}: no reply: {first_line(error)}") from error
        if given.id is None and given.image is None and given.row is None:
            raise UsageError(f'{path} line {number}: give "image" or "id" beside "reply"')
        found.append(msgspec.structs.replace(given, line=number))
    if not found:
        raise UsageError(f"{path}: no replies in it")
    return found


def as_read_rows(
    rows: Sequence[LabelledRow],
    replies: Iterable[GivenReply],
    source: Path,
    *,
    hashes: bool,
    count: int | None = None,
    seed: int = 0,
) -> list[ReadRow]:
    """A row of predictions for each row of the data, or ``count`` drawn by the seed; not scored.

    With ``hashes`` their photos, where they are there, are read for their hash. A row without a
    reply has none in what it becomes, and says so. Raises UsageError for replies that belong to no
    row or to one that has another reply, naming the first three lines and how many there are.
    """
    found = _matched(rows, replies, source)
    places = range(len(rows)) if count is None else drawn(len(rows), count, seed)
    return [_read_row(rows[place], found.get(place), source, hashes=hashes) for place in places]


def _matched(
    rows: Sequence[LabelledRow], replies: Iterable[GivenReply], source: Path
) -> dict[int, GivenReply]:
    """The reply for each place in ``rows`` that has one."""
    index = _Index(rows)
    by_places: dict[tuple[int, ...], list[GivenReply]] = defaultdict(list)
    for reply in replies:
        by_places[tuple(index.places(reply))].append(reply)
    _refuse(source, "belong to no row of the data", by_places.pop((), []))
    found: dict[int, GivenReply] = {}
    surplus: list[GivenReply] = []
    for places, given in by_places.items():
        # What is said once of a photo holds for all its rows; said as often, it goes row by row.
        each = given * len(places) if len(given) == 1 else given
        if len(each) != len(places) or found.keys() & set(places):
            surplus += given
        else:
            found |= dict(zip(places, each, strict=True))
    _refuse(source, "are for a row that has another one", surplus)
    return found


def _read_row(row: LabelledRow, reply: GivenReply | None, source: Path, *, hashes: bool) -> ReadRow:
    read = msgspec.structs.replace(
        row.unread(photo_hash(row.image) if hashes else None), why=f"no reply in {source.name}"
    )
    if reply is None:
        return read
    return msgspec.structs.replace(
        read,
        reply=reply.reply,
        why=None if reply.reply is not None else reply.why or read.why,
        tokens=reply.tokens,
        cut=reply.cut,
        ms=reply.ms,
        read_size=reply.read_size,
    )


class _Index:
    """The places of rows by all that a reply may name them by."""

    def __init__(self, rows: Sequence[LabelledRow]) -> None:
        self._rows = rows
        self._by_line = {row.line: [place] for place, row in enumerate(rows)}
        self._by_image: dict[str, list[int]] = defaultdict(list)
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._by_given_id: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            for name in {nfc(row.image), nfc(row.name)}:
                self._by_image[name].append(place)
            self._by_name[_base(row.image)].append(place)
            if row.given_id is not None:
                self._by_given_id[row.given_id].append(place)

    def places(self, reply: GivenReply) -> Sequence[int]:
        """The rows that a reply is for: by its id, else its image, else its row."""
        if reply.id is not None:
            return self._by_given_id.get(str(reply.id)) or self._of_row_id(reply)
        if reply.image is not None:
            return self._of_image(reply.image)
        return self._by_line.get(reply.row or 0, [])

    def _of_image(self, image: str) -> Sequence[int]:
        """By the name in the row or the whole path, else by the base name of one photo alone."""
        if found := self._by_image.get(nfc(image)):
            return found
        named = self._by_name.get(_base(image), [])
        return named if len({self._rows[place].image for place in named}) == 1 else []

    def _of_row_id(self, reply: GivenReply) -> Sequence[int]:
        if reply.image is None or reply.image_hash is None:
            return self._by_row_id.get(str(reply.id), [])
        # The photo's hash is in the line, so that no photo has to be read.
        named = self._by_name.get(_base(reply.image), [])
        return [place for place in named if self._id(place, reply.image_hash) == reply.id]

    @cached_property
    def _by_row_id(self) -> dict[str, list[int]]:
        """By the ids with a photo's hash, and those with its name alone."""
        found: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self._rows):
            for known in {photo_hash(row.image), None}:
                found[self._id(place, known)].append(place)
        return found

    def _id(self, place: int, image_hash: str | None) -> str:
        row = self._rows[place]
        return row_id(image_hash, row.image, row.prompt, row.truth)


def _base(image: str) -> str:
    return nfc(os.path.basename(image))  # noqa: PTH119 - as text, of 17,272 rows


def _refuse(source: Path, fault: str, replies: Sequence[GivenReply]) -> None:
    if not replies:
        return
    ordered = sorted(replies, key=lambda reply: reply.line)
    named = ", ".join(f"line {reply.line} ({_told(reply)})" for reply in ordered[:_NAMED])
    more = ", …" if len(ordered) > _NAMED else ""
    raise UsageError(f"{source}: {len(ordered):,} replies {fault}: {named}{more}")


def _told(reply: GivenReply) -> str:
    keys = (("id", reply.id), ("image", reply.image), ("row", reply.row))
    name, value = next((name, value) for name, value in keys if value is not None)
    return f"{name} {visible(str(value))[:60]}"
