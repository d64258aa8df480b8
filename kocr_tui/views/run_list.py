"""Which runs the list shows, and in which order; pure functions."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from core.events import State
from kocr_tui.strings import say
from kocr_tui.views.run_row import RunRow

Order = Literal["newest", "name", "state", "accuracy", "speed"]
ORDERS: tuple[Order, ...] = get_args(Order)
# The column that shows what an order goes by.
SORTED_COLUMN: dict[Order, str] = {
    "newest": "started",
    "name": "run",
    "state": "state",
    "accuracy": "accuracy",
    "speed": "speed",
}
_STATE_RANK = {state: rank for rank, state in enumerate(get_args(State))}


def next_order(order: Order) -> Order:
    """The order after this one, around."""
    return ORDERS[(ORDERS.index(order) + 1) % len(ORDERS)]


def matching(rows: Iterable[RunRow], words: str) -> tuple[RunRow, ...]:
    """The runs that have every word in their name, id, model, data, profile or state.

    The state is its name in the language in use; case and the Unicode form make no difference.
    """
    wanted = _plain(words).split()
    return tuple(row for row in rows if all(word in _text_of(row) for word in wanted))


def in_order(rows: Iterable[RunRow], order: Order) -> tuple[RunRow, ...]:
    """The runs sorted: the best and fastest first, what has no figure last, else newest first."""
    newest = sorted(rows, key=lambda row: row.id, reverse=True)
    match order:
        case "newest":
            return tuple(newest)
        case "name":
            return tuple(sorted(newest, key=lambda row: _plain(row.name)))
        case "state":
            return tuple(sorted(newest, key=lambda row: _STATE_RANK[row.state]))
        case "accuracy":
            return tuple(sorted(newest, key=_accuracy, reverse=True))
        case "speed":
            return tuple(sorted(newest, key=lambda row: row.samples_per_s or 0.0, reverse=True))


def to_compare(listed: Sequence[str], cursor: str | None, marked: Sequence[str]) -> list[str]:
    """The ids of the runs to compare: the marked ones.

    A single mark goes with the run under the cursor; where there is none, or that is the marked
    one, it's the cursor's run and the next in the list, or the one before for the last. Fewer than
    two where the list has no other.
    """
    if len(marked) >= 2 or cursor is None:
        return list(marked)
    if marked and marked[0] != cursor:
        return [marked[0], cursor]
    place = listed.index(cursor)
    others = [*listed[place + 1 : place + 2], *listed[max(0, place - 1) : place]]
    return [cursor, *others[:1]]


def _accuracy(row: RunRow) -> float:
    score = row.normalized
    return -1.0 if score is None or score.value is None else score.value


def _text_of(row: RunRow) -> str:
    parts = (row.name, row.id, row.model, row.data, row.profile, say(f"state.{row.state}"))
    return _plain("\n".join(parts))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
