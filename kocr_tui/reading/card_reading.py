"""One reading of the card that a run is on, or of its worker's share of the host."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from core.hardware.nvml import Card, Monitor, Process


@dataclass(frozen=True)
class Wanted:
    """Whose figures are read: the worker's process, where it lives, and its device.

    ``uuid`` is the worker's own card, where it has told that.
    """

    pid: int | None = None
    on_card: bool = False
    card_name: str = ""
    uuid: str | None = None


@dataclass(frozen=True)
class HostReading:
    """Load averages and cores of the box; memory and CPU (percent of a core) of the worker."""

    load: tuple[float, float, float]
    cores: int
    worker_bytes: int | None = None
    worker_percent: float | None = None


@dataclass(frozen=True)
class CardReading:
    """A moment of the run's card; ``reason`` says why there is none, ``xids`` its errors so far.

    ``mine`` is the worker's entry among the card's processes, ``others`` all but that. ``host``
    is read instead where the run is on the CPU.
    """

    card: Card | None = None
    mine: Process | None = None
    others: tuple[Process, ...] = ()
    reason: str | None = None
    xids: tuple[int, ...] = ()
    host: HostReading | None = None

    def others_bytes(self, reserved: int) -> int | None:
        """What others hold of the card; ``reserved`` is taken for the run's where none is told."""
        if self.card is None or self.card.used_bytes is None:
            return None
        mine = self.mine.used_bytes if self.mine and self.mine.used_bytes else reserved
        return max(0, self.card.used_bytes - mine)


class CardReader:
    """Finds the run's card and reads it again and again."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._uuid: str | None = None
        self._sure_of: int | None = None
        self._xids: list[int] = []

    def read(self, wanted: Wanted) -> CardReading:
        """The card now; the card on which the worker is, once that can be told."""
        if self._monitor.reason is not None:
            return CardReading(reason=self._monitor.reason)
        if wanted.uuid is not None:
            self._uuid = wanted.uuid
        elif self._uuid is None or self._sure_of != wanted.pid:
            self._find(wanted)
        card = self._monitor.card(self._uuid) if self._uuid else None
        if card is None or self._uuid is None:
            return CardReading(reason="NVML shows no card")
        self._xids += self._monitor.xid_errors(self._uuid) or []
        processes = self._monitor.processes(self._uuid)
        mine = next((one for one in processes if one.pid == wanted.pid), None)
        others = tuple(one for one in processes if one is not mine)
        return CardReading(card, mine, others, xids=tuple(self._xids))

    def _find(self, wanted: Wanted) -> None:
        uuids = [card.uuid for card in self._candidates() if card.uuid]
        for uuid in uuids:
            if any(one.pid == wanted.pid for one in self._monitor.processes(uuid)):
                self._uuid, self._sure_of = uuid, wanted.pid
                return
        named = [card.uuid for card in self._candidates() if card.name == wanted.card_name]
        self._uuid = next(iter([*named, *uuids]), None)

    def _candidates(self) -> list[Card]:
        whole = self._monitor.cards()
        slices = [
            one for card in whole if card.mig_mode for one in self._monitor.slices(card.uuid or "")
        ]
        return [*slices, *whole]


class HostReader:
    """Reads the box's load, and a process from /proc."""

    def __init__(self) -> None:
        self._before: tuple[int, float, float] | None = None

    def read(self, pid: int | None) -> HostReading:
        """The load now, and the process's CPU since the last call."""
        load, cores = os.getloadavg(), os.cpu_count() or 1
        try:
            used, seconds = _process_figures(Path("/proc") / str(pid))
        except (OSError, ValueError, IndexError):
            self._before = None
            return HostReading(load, cores)
        now = time.monotonic()
        before, self._before = self._before, (pid or 0, now, seconds)
        if before is None or before[0] != pid or now <= before[1]:
            return HostReading(load, cores, used)
        return HostReading(load, cores, used, (seconds - before[2]) / (now - before[1]) * 100)


def _process_figures(folder: Path) -> tuple[int, float]:
    """Bytes in memory and seconds of CPU of a process; see proc(5)."""
    pages = int((folder / "statm").read_text().split()[1])
    # The name in brackets may hold spaces, so fields are counted from its end.
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    used = int(fields[11]) + int(fields[12])
    return pages * os.sysconf("SC_PAGE_SIZE"), used / os.sysconf("SC_CLK_TCK")
