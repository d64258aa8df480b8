"""Rows by what they are, so that scores can be told for each kind; pure functions."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from core.evaluate.predictions import ReadRow
from core.nfc import nfc
from core.scripts import scripts_of

CATEGORIES = ("business_category", "item_sub_category", "type")
MOST_CATEGORIES = 10
OTHER, UNKNOWN = "other", "unknown"
_LENGTHS = {2: "1-2", 4: "3-4", 6: "5-6", 10: "7-10", 20: "11-20"}
_MEGAPIXELS = (0.5, 1, 2, 4, 8, 16)
# Rounding to the model's grid of 28 or 32 pixels takes no more than this off a side.
_ROUNDED = 16

Classes = Callable[[ReadRow], str]


def strata(rows: Sequence[ReadRow]) -> dict[str, dict[str, list[int]]]:
    """The places of the rows (from 0) in each class of each way to divide them.

    Every way that says something of these rows is there, and every row is in one class of it:

    - ``length``: characters of the truth without white space; ``script``: `script`; ``english``:
      ``with`` or ``without`` Latin letters in the truth;
    - the metadata's ``business_category``, ``item_sub_category`` and ``type``: the MOST_CATEGORIES
      largest, the others as ``other``, rows without one as ``unknown``;
    - ``size``: megapixels (10^6 pixels) of the photo as it is; ``shrunk``: ``yes`` where the reader
      got it with a side more than 16 pixels shorter, else ``no``.

    The smallest class first, categories by their number of rows.
    """
    found = {
        "length": _divided(rows, _length, (*_LENGTHS.values(), "21+")),
        "script": _divided(rows, script, ("hangul", "latin", "digits", "mixed", OTHER)),
        "english": _divided(rows, _english, ("with", "without")),
    }
    for key in CATEGORIES:
        found[key] = _by_category(rows, key)
    found["size"] = _divided(rows, _size, (*map(_up_to, _MEGAPIXELS), _ABOVE, UNKNOWN))
    found["shrunk"] = _divided(rows, _shrunk, ("no", "yes", UNKNOWN))
    return {name: classes for name, classes in found.items() if set(classes) - {UNKNOWN}}


def script(row: ReadRow) -> str:
    """``hangul``, ``latin`` or ``digits`` where the truth has nothing else, digits beside letters
    not counted; ``mixed`` for Hangul with Latin letters; else ``other``."""
    found = scripts_of(nfc(row.truth))
    letters = found - {"digits"}
    if letters == {"hangul", "latin"}:
        return "mixed"
    if len(letters) == 1 and (only := next(iter(letters))) in {"hangul", "latin"}:
        return only
    return "digits" if found == {"digits"} else OTHER


def _divided(
    rows: Sequence[ReadRow], class_of: Classes, order: Sequence[str]
) -> dict[str, list[int]]:
    """The classes that have rows, in the order given."""
    places: dict[str, list[int]] = {name: [] for name in order}
    for place, row in enumerate(rows):
        places[class_of(row)].append(place)
    return {name: found for name, found in places.items() if found}


def _by_category(rows: Sequence[ReadRow], key: str) -> dict[str, list[int]]:
    named = [_category(row.metadata, key) for row in rows]
    counts = Counter(name for name in named if name is not None)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    largest = [name for name in ordered if name != OTHER][:MOST_CATEGORIES]
    kept = {name: name for name in largest}
    classes = iter([UNKNOWN if name is None else kept.get(name, OTHER) for name in named])
    return _divided(rows, lambda _row: next(classes), (*largest, OTHER, UNKNOWN))


def _category(metadata: Mapping[str, object] | None, key: str) -> str | None:
    value = (metadata or {}).get(key)
    return (nfc(value).strip() or None) if isinstance(value, str) else None


def _length(row: ReadRow) -> str:
    characters = max(1, len("".join(nfc(row.truth).split())))
    return next((name for most, name in _LENGTHS.items() if characters <= most), "21+")


def _english(row: ReadRow) -> str:
    return "with" if "latin" in scripts_of(nfc(row.truth)) else "without"


def _up_to(megapixels: float) -> str:
    return f"<= {megapixels:g} MP"


_ABOVE = f"> {_MEGAPIXELS[-1]:g} MP"


def _size(row: ReadRow) -> str:
    if row.size is None:
        return UNKNOWN
    place = bisect_left(_MEGAPIXELS, row.size[0] * row.size[1] / 1e6)
    return _ABOVE if place == len(_MEGAPIXELS) else _up_to(_MEGAPIXELS[place])


def _shrunk(row: ReadRow) -> str:
    if row.size is None or row.read_size is None:
        return UNKNOWN
    losses = (before - after for before, after in zip(row.size, row.read_size, strict=True))
    return "yes" if max(losses) > _ROUNDED else "no"
