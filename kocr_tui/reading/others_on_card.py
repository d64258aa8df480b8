"""What others take of the card that a run is on, beside the run's own processes."""

import os
import time

from core.hardware.nvml import Card, Monitor

_READ_SECONDS = 2.0
# Less than this isn't news: desktops breathe.
_GRAIN_BYTES = 16 * 2**20


class OthersOnCard:
    """Reads the card that a worker has taken every two seconds.

    NVML starts with the first reading; ``close`` lets it go.
    """

    def __init__(self) -> None:
        self._monitor: Monitor | None = None
        self._due = 0.0
        self._known: int | None = None

    def read(self, worker: int | None, uuid: str | None) -> int | None:
        """Bytes in use beyond the session of the process ``worker``; None where it isn't told.

        ``uuid`` is the worker's card; without one it's the first visible, which a worker takes.
        """
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _READ_SECONDS
            self._monitor = self._monitor or Monitor()
            card = _card(self._monitor, uuid)
            if card is not None and card.used_bytes is not None:
                self._look(self._monitor, card, worker)
        return self._known

    def close(self) -> None:
        """Lets NVML go."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def _look(self, monitor: Monitor, card: Card, worker: int | None) -> None:
        """Keeps the last figure where the run's own share of the card isn't told."""
        own = 0 if worker is None else _taken_by(monitor, card.uuid or "", worker)
        if own is not None:
            others = max(0, (card.used_bytes or 0) - own)
            self._known = round(others / _GRAIN_BYTES) * _GRAIN_BYTES


def _card(monitor: Monitor, uuid: str | None) -> Card | None:
    return next(iter(monitor.visible()), None) if uuid is None else monitor.card(uuid)


def _taken_by(monitor: Monitor, uuid: str, session: int) -> int | None:
    """Bytes of the processes of a session; None where any process's share is hidden."""
    if not monitor.tells_processes(uuid):
        return None
    taken = 0
    for process in monitor.processes(uuid):
        try:
            own = os.getsid(process.pid) == session
        except OSError:
            return None
        if process.used_bytes is None:
            return None
        taken += process.used_bytes if own else 0
    return taken
