"""Watches the run's own cards through NVML from a thread, and ends a run whose card fails."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from core.errors import GpuLostError, first_line
from core.events import CardTrouble
from core.hardware.cuda_error import context_is_lost, is_cuda_error
from core.hardware.nvml import Card, Monitor
from core.train.cards.health import CardHealth, cuda_words

# NVML forgets all but the last of several Xid errors, so they are asked for more often.
_XID_SECONDS = 0.25
_READ_SECONDS = 2.0
# A main thread that waits for a card that is gone never leaves by itself.
PATIENCE_SECONDS = 20.0
# NVML may tell of an error after CUDA has.
_SETTLE_SECONDS = 2.0


class CardWatch:
    """A block in which the run's cards are watched; does nothing where there is none, or no NVML.

    ``tell`` gets what is worth an event, from any thread. Once a card fails (it's lost, or has a
    fatal Xid error), ``check`` raises GpuLostError, and so does the block's end, whatever else it
    ends with. A main thread that hasn't left ``patience`` seconds later hangs in CUDA: ``end`` is
    called with the reason and must end the process.

    An error of CUDA becomes GpuLostError, and so exit code 4, where NVML tells of a failed card
    within _SETTLE_SECONDS or CUDA refuses all further work: a device-side assert or an illegal
    access is more often a program's error than the card's, but only a check of the card can tell,
    and resume makes one after exit code 4. A GpuLostError of another process, which knows CUDA
    alone, becomes NVML's likewise.
    """

    def __init__(
        self,
        cards: Sequence[Card],
        tell: Callable[[CardTrouble], None],
        end: Callable[[str], None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._health = {card.uuid: CardHealth(card) for card in cards if card.uuid is not None}
        self._tell = tell
        self._end = end
        self._patience = patience
        self._monitor: Monitor | None = None
        self._looking = threading.Lock()
        self._read_at = 0.0
        self._over = threading.Event()
        self._leaving = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="card-watch", daemon=True)

    @property
    def verdict(self) -> str | None:
        """Why the run has to end, as far as is known."""
        return next((one.verdict for one in self._health.values() if one.verdict), None)

    def check(self) -> None:
        """Raises GpuLostError if a card is known to have failed; asks nobody."""
        if (verdict := self.verdict) is not None:
            raise GpuLostError(verdict)

    def confirm(self) -> None:
        """Raises GpuLostError if a card has failed until now."""
        self.look()
        self.check()

    def look(self) -> None:
        """Reads all cards now, unless another thread has been stuck in that for seconds."""
        if self._monitor is None or not self._looking.acquire(timeout=_SETTLE_SECONDS):
            return
        try:
            self._hear_xids(self._monitor)
            self._read(self._monitor)
        finally:
            self._looking.release()

    def settle(self) -> None:
        """Looks until a card is known to have failed, for as long as NVML may take after CUDA."""
        until = time.monotonic() + _SETTLE_SECONDS
        while self._listens() and self.verdict is None and time.monotonic() < until:
            self._over.wait(_XID_SECONDS)
            self.look()

    def _listens(self) -> bool:
        return self._monitor is not None and self._monitor.reason is None

    def __enter__(self) -> Self:
        if self._health:
            self._monitor = Monitor()
            self.look()
            if self._listens():
                self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.look()
        if is_cuda_error(error) or isinstance(error, GpuLostError):
            self.settle()
        why = self.verdict
        if why is None and is_cuda_error(error) and context_is_lost():
            why = self._why_cuda_failed(error)
        with self._leaving:
            self._over.set()
        self._close()
        if why is not None:
            raise GpuLostError(why) from error

    def _why_cuda_failed(self, error: BaseException | None) -> str:
        assert error is not None
        names = " and ".join(one.name for one in self._health.values()) or "the card"
        return cuda_words(names, first_line(error))

    def _close(self) -> None:
        if self._thread.is_alive():
            self._thread.join(_SETTLE_SECONDS)
        # A thread that is stuck in NVML still uses it.
        if self._monitor is not None and not self._thread.is_alive():
            self._monitor.close()

    def _watch(self) -> None:
        assert self._monitor is not None
        while self.verdict is None:
            if self._over.wait(_XID_SECONDS):
                return
            with self._looking:
                self._hear_xids(self._monitor)
                if time.monotonic() - self._read_at >= _READ_SECONDS:
                    self._read(self._monitor)
        if not self._over.wait(self._patience):
            with self._leaving:
                if not self._over.is_set():
                    self._end(self.verdict)

    def _hear_xids(self, monitor: Monitor) -> None:
        for uuid, health in self._health.items():
            if codes := monitor.xid_errors(uuid):
                for trouble in health.hear_xids(codes, monitor.repair(uuid), time.monotonic()):
                    self._tell(trouble)

    def _read(self, monitor: Monitor) -> None:
        self._read_at = time.monotonic()
        for uuid, health in self._health.items():
            if (card := monitor.card(uuid)) is not None:
                for trouble in health.hear(card, self._read_at):
                    self._tell(trouble)
