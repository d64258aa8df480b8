"""What readings of a card add up to: what to tell, and whether the run has to end. Pure."""

from collections.abc import Iterator, Sequence

from core.events import CardTrouble
from core.hardware.nvml.card import Card
from core.hardware.nvml.repair import Repair
from core.hardware.nvml.throttle import HARMFUL
from core.hardware.nvml.xid import FELL_OFF, is_fatal, xid_words

QUIET_SECONDS = 60.0
_THEN = "then resume: it checks the card first"


def name_of(card: Card) -> str:
    """What to call a card: ``NVIDIA L4 (GPU 0)``."""
    name = card.name or "the card"
    return name if card.index is None else f"{name} (GPU {card.index})"


def lost_words(card: Card) -> str:
    """Why a run can't go on, or begin, on a card that the driver no longer reaches."""
    return f"{name_of(card)}: the driver no longer reaches it; {_cure(card)}, {_THEN}"


def repair_words(card: Card, repair: Repair) -> str:
    """Why a run can't go on, or begin, on a card that has to be reset."""
    return f"{name_of(card)}: {repair.words}; {_cure(card)}, {_THEN}"


def xid_end_words(card: Card, code: int) -> str:
    """Why a run can't go on after a fatal Xid error."""
    cure = "restart the box" if code == FELL_OFF else _cure(card)
    return f"{name_of(card)}: Xid {xid_words(code)}; {cure}, {_THEN}"


def cuda_words(name: str, error: str) -> str:
    """Why a run can't go on in a process that CUDA has given up, with no word from NVML."""
    return (
        f"{name}: {error}: CUDA does nothing more in this process, but NVML tells of no fault; "
        "resume checks the card first"
    )


class CardHealth:
    """One card while a run is on it; ``verdict`` says why the run has to end, once it has to.

    Xid errors that are not fatal and changes of throttling are told at most once a minute each:
    what has changed back by then was never worth a word.
    """

    def __init__(self, card: Card) -> None:
        self.verdict: str | None = None
        self._card = card
        self._throttling = _Throttling()
        self._memory_errors = card.ecc_errors
        self._told_xids: dict[int, float] = {}

    @property
    def name(self) -> str:
        return name_of(self._card)

    def hear_xids(
        self, codes: Sequence[int], repair: Repair | None, now: float
    ) -> Iterator[CardTrouble]:
        """Takes Xid errors, and what the driver wants done after them; ``now`` is in seconds.

        NVML gives several errors in a row the last one's code, so a fatal one may hide behind those
        that follow it: where the driver wants a reset at once, any of them ends the run.
        """
        fatal = next((code for code in codes if is_fatal(code)), None)
        if fatal is not None:
            self._end(xid_end_words(self._card, fatal))
        elif codes and repair is not None and repair.urgent:
            self._end(repair_words(self._card, repair))
        fresh = [code for code in dict.fromkeys(codes) if self._is_news(code, now)]
        if fresh:
            words = ", ".join(map(xid_words, fresh))
            yield CardTrouble(
                what="xid", codes=tuple(fresh), message=f"{self.name}: Xid error {words}"
            )

    def hear(self, card: Card, now: float) -> Iterator[CardTrouble]:
        """Takes a reading of the card."""
        if card.lost:
            if self.verdict is None:
                yield CardTrouble(
                    what="lost", message=f"{self.name}: the driver no longer reaches it"
                )
            self._end(lost_words(self._card))
            return
        yield from self._hear_memory(card)
        changed = self._throttling.change(card.throttle_reasons, now)
        if changed is not None:
            yield self._throttled(card, changed)

    def _end(self, why: str) -> None:
        self.verdict = self.verdict or why

    def _is_news(self, code: int, now: float) -> bool:
        told = self._told_xids.get(code)
        if told is not None and now - told < QUIET_SECONDS:
            return False
        self._told_xids[code] = now
        return True

    def _hear_memory(self, card: Card) -> Iterator[CardTrouble]:
        """Uncorrected errors are told and end nothing: whom they hit gets a CUDA error."""
        before, errors = self._memory_errors, card.ecc_errors
        if errors is None:
            return
        self._memory_errors = errors
        if before is not None and errors > before:
            since = f"{errors:,} since the driver was loaded"
            message = f"{self.name}: uncorrected memory errors: {errors - before:,} new, {since}"
            yield CardTrouble(what="memory-errors", message=message)

    def _throttled(self, card: Card, reasons: frozenset[str]) -> CardTrouble:
        if not reasons:
            message = f"{self.name}: its clocks are no longer held down"
            return CardTrouble(what="recovered", message=message)
        warm = "" if card.temperature_c is None else f" at {card.temperature_c} °C"
        words = ", ".join(sorted(reasons))
        message = f"{self.name}: its clocks are held down{warm}: {words}"
        return CardTrouble(what="throttled", message=message)


class _Throttling:
    """Which of the harmful reasons are known to people."""

    def __init__(self) -> None:
        self._told: frozenset[str] = frozenset()
        self._told_at: float | None = None

    def change(self, reasons: Sequence[str] | None, now: float) -> frozenset[str] | None:
        """The reasons now where that is to be told, empty where it's over; else None."""
        if reasons is None:
            return None
        harmful = HARMFUL & frozenset(reasons)
        quiet = self._told_at is not None and now - self._told_at < QUIET_SECONDS
        if harmful == self._told or quiet:
            return None
        self._told, self._told_at = harmful, now
        return harmful


def _cure(card: Card) -> str:
    only = "" if card.index is None else f" -i {card.index}"
    return f"reset it (`sudo nvidia-smi -r{only}`) or restart the box"
