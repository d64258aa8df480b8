"""What is around a run and not in its events: room on the disk, its config, the cards."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from core.errors import UnknownKeyError, UsageError
from core.hardware.nvml import Card
from core.run_dir import RunDir

LOOK_SECONDS = 10.0
LEAST_FREE_BYTES = 2 << 30
_ROUNDED_BYTES = 64 << 20
ReadCards = Callable[[], Sequence[Card]]


def no_cards() -> Sequence[Card]:
    """The cards of a run that trains on none."""
    return ()


@dataclass(frozen=True)
class LowDisk:
    """Too little room: free bytes, and what the last checkpoint took (0: there is none yet)."""

    free_bytes: int
    checkpoint_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether not even one more checkpoint fits."""
        return self.free_bytes < self.checkpoint_bytes


@dataclass(frozen=True)
class Surroundings:
    """What a look around found wrong; ``config_problem`` is one line.

    ``newer_config`` says that the config has keys of a version to come, ``lost_cards`` names the
    cards that the driver no longer reaches.
    """

    disk: LowDisk | None = None
    config_problem: str = ""
    newer_config: bool = False
    lost_cards: tuple[str, ...] = ()


class Lookout:
    """Looks around a run every ``LOOK_SECONDS``, however often it is asked."""

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._next = clock()
        self._found = Surroundings()

    def look(self, read_cards: ReadCards) -> Surroundings:
        """What was found by the newest look; ``read_cards`` gives the cards the run may be on."""
        if self._clock() >= self._next:
            self._next = self._clock() + LOOK_SECONDS
            problem, newer = _config_problem(self._run)
            lost = tuple(card.name or "" for card in read_cards() if card.lost)
            self._found = Surroundings(low_disk(self._run), problem, newer, lost)
        return self._found


def low_disk(run: RunDir) -> LowDisk | None:
    """The room on the run's disk where it is less than 2 GiB or two checkpoints; else None."""
    try:
        free = disk_usage(run.path).free
    except OSError:
        return None
    checkpoint = _newest_checkpoint_bytes(run.checkpoints)
    if free >= max(LEAST_FREE_BYTES, 2 * checkpoint):
        return None
    return LowDisk(free - free % _ROUNDED_BYTES, checkpoint)


def _newest_checkpoint_bytes(folder: Path) -> int:
    try:
        newest = max(folder.glob("step-*"), default=None)
        files = newest.rglob("*") if newest is not None else ()
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def _config_problem(run: RunDir) -> tuple[str, bool]:
    """Why the config can't be read, in one line, and whether a newer version wrote it."""
    try:
        run.config()
    except UsageError as error:
        problem = str(error).removeprefix(f"{run.path}/")
        return problem, isinstance(error, UnknownKeyError)
    return "", False
