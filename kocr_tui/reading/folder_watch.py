"""Reads the list of runs and the card in threads, and posts what is new to the home screen."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from core.run_dir import list_runs
from kocr_tui import format as fmt
from kocr_tui.messages import CardRead, RunsListed
from kocr_tui.strings import say
from kocr_tui.views.run_row import RowMaker, RunRow

if TYPE_CHECKING:
    from core.hardware.nvml import Card

FOLDER_SECONDS = 1.0
CARD_SECONDS = 2.0
PART_SECONDS = 0.4
Post = Callable[[Message], object]


def follow_folder(folder: Path, stop: threading.Event, seen: threading.Event, post: Post) -> None:
    """Lists a folder's runs once a second until ``stop``, but not while ``seen`` is not set.

    It posts only lists that differ. The first pass may read long files, so it posts what it has a
    few times a second.
    """
    makers: dict[str, RowMaker] = {}
    known: RunsListed | None = None
    while not stop.is_set():
        if seen.is_set():
            runs = list_runs(folder)
            makers = {run.id: makers.get(run.id) or RowMaker(run) for run in runs}
            for listed in _listed(makers.values(), stop, in_parts=known is None):
                if listed != known:
                    known = listed
                    post(listed)
        stop.wait(FOLDER_SECONDS)


def _listed(
    makers: Collection[RowMaker], stop: threading.Event, *, in_parts: bool
) -> Iterator[RunsListed]:
    """The rows of all runs, in parts before that where asked; nothing after ``stop``."""
    rows: list[RunRow] = []
    told = time.monotonic()
    for count, maker in enumerate(makers, start=1):
        if stop.is_set():
            return
        # A run may be another user's, or go while it's read.
        with contextlib.suppress(OSError):
            rows.append(maker.row())
        if in_parts and count < len(makers) and time.monotonic() - told >= PART_SECONDS:
            told = time.monotonic()
            yield RunsListed(tuple(rows), unread=len(makers) - count)
    yield RunsListed(tuple(rows))


def follow_card(stop: threading.Event, seen: threading.Event, post: Post) -> None:
    """Reads the card every two seconds until ``stop``, but not while ``seen`` is not set.

    It posts only lines that differ.
    """
    from core.hardware.nvml import Monitor

    known = ""
    with Monitor() as monitor:
        while not stop.is_set():
            if seen.is_set():
                cards = monitor.cards()
                line = "   ".join(map(card_line, cards)) if cards else say("home.no_card")
                if line != known:
                    known = line
                    post(CardRead(line, bool(cards)))
            stop.wait(CARD_SECONDS)


def card_line(card: "Card") -> str:
    """A card in one line: its name, memory, load and temperature, as far as it tells them."""
    name = fmt.visible(card.name or say("card.unnamed"))
    if card.lost:
        return say("card.lost", name=name)
    parts = [name]
    if card.used_bytes is not None and card.total_bytes:
        parts.append(f"{card.used_bytes / fmt.GIB:.1f}/{card.total_bytes / fmt.GIB:.1f} GiB")
    if card.utilization_percent is not None:
        parts.append(f"{card.utilization_percent} %")
    if card.temperature_c is not None:
        parts.append(f"{card.temperature_c} °C")
    if card.power_w is not None:
        parts.append(f"{card.power_w:.0f} W")
    return " · ".join(parts)
