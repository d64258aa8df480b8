"""Processes that train together: one leads, the others do their share of every step.

The leader alone tunes, validates, saves, writes events and hears requests. It starts the others
itself, unless `accelerate launch` or torchrun has started them all.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from core.errors import UsageError
from core.train.setup import make_accelerator

STARTED_BY_LEADER = "KOCR_STARTED_BY_LEADER"
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> tuple[int, int]:
    """This process's rank and the number of processes, as a launcher gave them; (0, 1) if none."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def environment_alone() -> dict[str, str]:
    """The environment for a process that works by itself, such as a probe."""
    return {name: value for name, value in os.environ.items() if name not in _LAUNCHER}


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
def lead(run: Path, processes: int, on_death: Callable[[str], None]) -> Iterator[Crew]:
    """The leader's crew; starts the others and has them gone at the end.

    ``on_death`` hears a sentence if one of them dies while it is needed. Raises UsageError if a
    launcher started another number of processes than the run asks for.
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
    started = _start(run, processes)
    over = threading.Event()
    for number, process in enumerate(started, start=1):
        watch = threading.Thread(
            target=_watch, args=(process, number, processes, over, on_death), daemon=True
        )
        watch.start()
    try:
        yield Crew(0, processes)
    finally:
        over.set()
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _start(run: Path, processes: int) -> list[subprocess.Popen[bytes]]:
    """Starts all but the leader, and makes this process the leader."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    common = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    os.environ.update(common, RANK="0", LOCAL_RANK="0")
    command = [sys.executable, "-P", "-m", "core.train.follower", str(run)]
    return [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            process_group=0,
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                STARTED_BY_LEADER: "1",
            },
        )
        for rank in range(1, processes)
    ]


def _watch(
    process: subprocess.Popen[bytes],
    number: int,
    processes: int,
    over: threading.Event,
    on_death: Callable[[str], None],
) -> None:
    code = process.wait()
    if not over.is_set() and code != 0:
        on_death(
            f"process {number + 1} of {processes} ended with exit status {code}; worker.log has "
            "its last words; resume goes on from the last checkpoint"
        )


def choose_card(rank: int) -> None:
    """Each process on a box has a card of its own."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
