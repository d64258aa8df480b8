"""Processes that train together: one leads, the others do their share of every step.

The leader alone tunes, validates, saves, writes events and hears requests. It starts the others
itself, unless `accelerate launch` or torchrun has started them all.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from core.errors import KocrError, UsageError
from core.train.followers import Followers
from core.train.setup import make_accelerator


def launched() -> tuple[int, int]:
    """This process's rank and the number of processes, as a launcher gave them; (0, 1) if none."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


class Crew:
    """What a process says to the others, and hears; does nothing where there is only one."""

    def __init__(self, rank: int, processes: int) -> None:
        self.rank = rank
        self.processes = processes
        self._group: Any = None

    def join(self, device: torch.device) -> None:
        """Meets the others; returns when all are there."""
        if self.processes > 1:
            make_accelerator(device)

    def tell(self, word: Any) -> None:
        """The leader's word to all others."""
        if self.processes > 1:
            distributed.broadcast_object_list([word], src=0, group=self._channel())

    def hear(self) -> Any:
        """What the leader says; waits for it."""
        heard = [None]
        distributed.broadcast_object_list(heard, src=0, group=self._channel())
        return heard[0]

    def gather(self, item: list[Any]) -> list[Any]:
        """The lists of all processes joined together, in the order of their ranks."""
        if self.processes == 1:
            return item
        everyone: list[Any] = [None] * self.processes
        distributed.all_gather_object(everyone, item, group=self._channel())
        return [one for each in everyone for one in each]

    def _channel(self) -> Any:
        """Words go by gloo: waiting for one on NCCL would keep a card busy."""
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        return self._group


@contextmanager
def lead(run: Path, processes: int, on_death: Callable[[KocrError], object]) -> Iterator[Crew]:
    """The leader's crew; starts the others and has them gone at the end.

    Raises what a process that died said, which ``on_death`` hears where this one is stuck (see
    Followers); UsageError if a launcher started another number of processes than the run asks for.
    """
    rank, given = launched()
    if given > 1 and given != processes:
        raise UsageError(
            f"{given} processes were launched, but device.processes is {processes}; "
            "make the two agree"
        )
    if processes == 1 or given > 1:
        yield Crew(rank, processes)
        return
    with Followers(run, processes, on_death):
        yield Crew(0, processes)


def choose_card(rank: int) -> None:
    """Each process on a box has a card of its own."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
