"""Replies that something else made, a line each, brought to the rows that they answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import msgspec

from core.data.lines import numbered_lines
from core.errors import UsageError, first_line
from core.evaluate.predictions import ReadRow
from core.nfc import nfc

MISSING = "no reply in the file"
_NAMED = 3


class GivenReply(msgspec.Struct, frozen=True, kw_only=True):
    """A line: which row it answers, by id or image, and the reply, None where there was none.

    ``id`` is a row's id, the "id" in its metadata, or its line in the data (a number), in this
    order; ``image`` is the photo's path, or its file's name. Other keys are ignored.
    """

    reply: str | None
    id: str | int | None = None
    image: str | None = None
    why: str | None = None
    tokens: int | None = None
    cut: bool = False
    ms: float | None = None
    read_size: tuple[int, int] | None = None


_GIVEN = msgspec.json.Decoder(GivenReply)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def with_replies(path: Path, rows: Sequence[ReadRow]) -> list[ReadRow]:
    """The rows with the replies of a file; one that has none there says so in ``why``.

    Rows of the same id or photo are answered in their order, and by one line where there is no
    more. Raises UsageError that names the line for what is no reply, for lines that answer no row
    or one that was answered before, and for a file that can't be read.
    """
    places = _Places(rows)
    answers: dict[int, GivenReply] = {}
    shared: dict[int, GivenReply] = {}
    strange: list[str] = []
    for number, given in _given(path):
        found = places.of(given)
        if isinstance(found, str):
            strange.append(f"line {number}: {found}")
            continue
        free = next((place for place in found if place not in answers), None)
        if free is None:
            strange.append(f"line {number}: answers row {rows[found[0]].row} again")
            continue
        answers[free] = given
        shared.update(dict.fromkeys(found, given))
    if strange:
        more = f" and {len(strange) - _NAMED:,} more" if len(strange) > _NAMED else ""
        raise UsageError(f"{path}: {'; '.join(strange[:_NAMED])}{more}")
    given_of = shared | answers
    return [_answered(row, given_of.get(place)) for place, row in enumerate(rows)]


class _Places:
    """Where rows are, by what a reply can call them."""

    def __init__(self, rows: Sequence[ReadRow]) -> None:
        own: dict[str | int, list[int]] = {}
        by_id: dict[str | int, list[int]] = {}
        by_line: dict[str | int, list[int]] = {}
        self._ids = (by_id, own, by_line)
        self._images: dict[str, list[int]] = {}
        self._names: dict[str, set[str]] = {}
        for place, row in enumerate(rows):
            by_id.setdefault(row.id, []).append(place)
            by_line.setdefault(row.row, []).append(place)
            if (own_id := _own_id(row.metadata)) is not None:
                own.setdefault(own_id, []).append(place)
            image = nfc(row.image)
            self._images.setdefault(image, []).append(place)
            self._names.setdefault(_file_name(image), set()).add(image)

    def of(self, given: GivenReply) -> list[int] | str:
        """The places of rows that a reply names, or why there are none."""
        if given.id is not None:
            found = next((ids[given.id] for ids in self._ids if given.id in ids), None)
            if found is not None:
                return found
            if given.image is None:
                return f"no row has the id {given.id!r}"
        image = nfc(given.image or "")
        if image in self._images:
            return self._images[image]
        named = self._names.get(_file_name(image), set())
        if len(named) > 1:
            return f"{len(named)} photos are called {given.image!r}; give their paths"
        return self._images[next(iter(named))] if named else f"no row has the image {given.image!r}"


def _own_id(metadata: dict[str, Any] | None) -> str | int | None:
    own = (metadata or {}).get("id")
    return own if isinstance(own, str | int) else None


def _file_name(path: str) -> str:
    return PurePath(path).name


def _given(path: Path) -> Iterator[tuple[int, GivenReply]]:
    for number, _offset, line in numbered_lines(path):
        try:
            # The first line of our own files tells of the file.
            if number == 1 and "predictions" in _KEYS.decode(line):
                continue
            given = _GIVEN.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{path} line {number}: no reply: {first_line(error)}") from error
        if given.id is None and given.image is None:
            raise UsageError(f'{path} line {number}: needs "image" or "id" beside "reply"')
        yield number, given


def _answered(row: ReadRow, given: GivenReply | None) -> ReadRow:
    given = given or GivenReply(reply=None, why=MISSING)
    return msgspec.structs.replace(
        row,
        reply=given.reply,
        extracted=None,
        why=given.why or (MISSING if given.reply is None else None),
        tokens=given.tokens,
        cut=given.cut,
        ms=given.ms,
        read_size=given.read_size,
        scores={},
    )
