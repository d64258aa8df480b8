"""Which figures a record may hold: what no run can come to would stop those who show it."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from core.events import Event, Step

MOST_COUNT = 2**53
# The largest number in fp32 is 3.4e38, and a loss may come to that.
MOST_FIGURE = 1e39
# Seconds from 1970 to the end of the year 9998, so that every local time is before 10000.
MOST_TIME = 253_370_764_800.0
_LEAST = (0, -MOST_FIGURE)
_MOST = (MOST_COUNT, MOST_FIGURE)


def impossible_figure(record: msgspec.Struct) -> str | None:
    """The name of a figure that no run can come to; None where all are possible.

    Counts are 0 to MOST_COUNT, other figures at most MOST_FIGURE either way, ``time`` is 0 to
    MOST_TIME seconds, and a step has a limit of memory above 0.
    """
    kinds = _fields(type(record))
    for group, least, most in zip(kinds.numbers, _LEAST, _MOST, strict=True):
        if group:
            values = group.values(record)
            if None in values:
                values = tuple(value for value in values if value is not None) or (least,)
            if min(values) < least or max(values) > most:
                return _first_outside(record, group.names, least, most)
    if isinstance(record, Event) and not 0 <= record.time <= MOST_TIME:
        return "time"
    if isinstance(record, Step) and not record.limit_bytes:
        return "limit_bytes"
    return _impossible_inside(record, kinds.inner) if kinds.inner else None


def _first_outside(
    record: msgspec.Struct, names: tuple[str, ...], least: float, most: float
) -> str | None:
    for name in names:
        value = getattr(record, name)
        if value is not None and not least <= value <= most:
            return name
    return None


def _impossible_inside(record: msgspec.Struct, names: tuple[str, ...]) -> str | None:
    for name in names:
        value = getattr(record, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, msgspec.Struct) and (found := impossible_figure(part)):
                return found
    return None


class _Group(NamedTuple):
    names: tuple[str, ...]
    values: Callable[[msgspec.Struct], tuple[Any, ...]]


class _Kinds(NamedTuple):
    """The fields of a record: its counts and its other figures, if any, and records or tuples."""

    numbers: tuple[_Group | None, _Group | None]
    inner: tuple[str, ...]


@cache
def _fields(kind: type[msgspec.Struct]) -> _Kinds:
    counts, figures, inner = [], [], []
    for name, hint in get_type_hints(kind).items():
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if name not in kind.__struct_fields__:
            continue
        if int in options:
            counts.append(name)
        elif float in options:
            figures.append(name)
        elif any(_holds_records(option) for option in options):
            inner.append(name)
    return _Kinds((_group(counts), _group(figures)), tuple(inner))


def _group(names: list[str]) -> _Group | None:
    if not names:
        return None
    # The getter of a single name would give its value alone, not a tuple of one.
    return _Group(tuple(names), attrgetter(*(names * 2 if len(names) == 1 else names)))


def _holds_records(hint: Any) -> bool:
    parts = (hint, *get_args(hint))
    return any(isinstance(part, type) and issubclass(part, msgspec.Struct) for part in parts)
