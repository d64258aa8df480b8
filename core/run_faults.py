"""What a run's events tell of its faults, as far as anybody asks later."""

from dataclasses import dataclass

from core.events import (
    AnyEvent,
    CardTrouble,
    CheckpointSaved,
    Finished,
    NotFinite,
    RanOutOfMemory,
    RolledBack,
    SaveFailed,
    WorkerStarted,
)


@dataclass
class RunFaults:
    """A fold over a run's events; ``apply`` takes them in order.

    ``save_failed`` stands until a checkpoint is saved, ``throttled`` until the card recovers,
    and ``card_trouble`` is the last that is no throttling; none of them outlives its worker.
    ``skipped_steps``, ``rollbacks`` and ``out_of_memory_count`` are the whole run's.
    """

    out_of_memory: RanOutOfMemory | None = None
    out_of_memory_count: int = 0
    skipped_steps: int = 0
    rolled_back: RolledBack | None = None
    rollbacks: int = 0
    save_failed: SaveFailed | None = None
    throttled: CardTrouble | None = None
    card_trouble: CardTrouble | None = None

    def apply(self, event: AnyEvent) -> None:
        """Takes the next event."""
        match event:
            case WorkerStarted() | Finished():
                self.save_failed = self.throttled = self.card_trouble = None
            case RanOutOfMemory():
                self.out_of_memory = event
                self.out_of_memory_count += 1
            case NotFinite():
                self.skipped_steps = event.total
            case RolledBack():
                self.rolled_back = event
                self.rollbacks += 1
            case SaveFailed():
                self.save_failed = event
            case CheckpointSaved():
                self.save_failed = None
            case CardTrouble(what="throttled"):
                self.throttled = event
            case CardTrouble(what="recovered"):
                self.throttled = None
            case CardTrouble():
                self.card_trouble = event
