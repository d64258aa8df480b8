"""Which cards are a worker's own, and that they are no one else's."""

import contextlib
import os
from collections.abc import Iterator
from functools import partial

from core import lock
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


@contextlib.contextmanager
def hold_cards(profile: Profile, processes: int) -> Iterator[list[Card]]:
    """One program a card: a second one would take the memory that was certified for the first.

    Raises UsageError if another holds one of them, and as ``own_cards`` does.
    """
    with contextlib.ExitStack() as held:
        cards = own_cards(profile, processes)
        for card in cards:
            if card.uuid is not None:
                path = home() / "locks" / f"{card.uuid}.lock"
                held.enter_context(lock.hold(path, partial(_card_busy, card.name)))
        yield cards


def _card_busy(name: str | None, pid: int) -> str:
    return f"{name}: busy: process {pid} trains on it, reads with it, or fills a cache"
