"""Which cards are a worker's own, and that they are no one else's."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

from core import box_lock
from core.errors import GpuLostError, UsageError
from core.hardware.nvml import Card, read_card, visible_cards
from core.profile import Profile
from core.run_dir import home
from core.train.cards.health import lost_words

CPU_CARD_VARIABLE = "KOCR_CPU_CARD"


def own_cards(profile: Profile, processes: int) -> list[Card]:
    """The cards that a run's processes take on this box: the first of the visible ones.

    The CPU stands in for a card in training; the one that KOCR_CPU_CARD names by its UUID is then
    held and watched as if the run were on it. Raises UsageError if there are fewer cards than
    processes, GpuLostError if one of them is lost.
    """
    if profile.device != "cuda":
        named = os.environ.get(CPU_CARD_VARIABLE)
        found = [read_card(named)] if named else []
        cards = [card for card in found if card is not None]
    else:
        cards = visible_cards()
        if 0 < len(cards) < processes:
            raise UsageError(
                f"device.processes is {processes}, but {len(cards)} cards can be seen; "
                "take fewer, or look at CUDA_VISIBLE_DEVICES"
            )
    refuse_lost(cards[:processes])
    return cards[:processes]


def refuse_lost(cards: list[Card]) -> None:
    """Raises GpuLostError if the driver doesn't reach one of the cards."""
    for card in cards:
        if card.lost:
            raise GpuLostError(lost_words(card))


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr)


@contextlib.contextmanager
def hold_cards(
    profile: Profile, processes: int, warn: Callable[[str], object] = _to_standard_error
) -> Iterator[list[Card]]:
    """One program a card: a second one would take the memory that was certified for the first.

    ``warn`` hears where programs with another home can't be kept out. Raises UsageError if another
    holds one of the cards, and as ``own_cards`` does.
    """
    with contextlib.ExitStack() as held:
        cards = own_cards(profile, processes)
        for card in cards:
            if card.uuid is not None:
                instead = home() / "locks" / f"{card.uuid}.lock"
                busy = partial(_card_busy, card.name)
                why = held.enter_context(box_lock.hold(card.uuid, busy, instead))
                if why is not None:
                    warn(_card_open(card.name, why))
        yield cards


def _card_busy(name: str | None, pid: int) -> str:
    return f"{name}: busy: process {pid} trains on it, reads with it, or fills a cache"


def _card_open(name: str | None, why: str) -> str:
    return (
        f"{name}: only programs with the same $KOCR_HOME are kept off it: {why}; let "
        f"${box_lock.LOCKS_VARIABLE} name a folder that all users can write to"
    )
