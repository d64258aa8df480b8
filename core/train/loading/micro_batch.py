"""A micro-batch: samples packed into one row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.data.collate import ROW_MULTIPLE, collate
from core.data.feature_store import PhotoKey
from core.data.samples import Sample
from core.model.step import TensorBatch
from core.model.vision import Tower


@dataclass(frozen=True)
class Replaced:
    """A row that could not be read, and the row taken for it; ``line`` counts from 1."""

    line: int
    sentence: str
    taken: int


@dataclass(frozen=True)
class MicroBatch:
    """Samples packed into one row, and the rows among them that stand in for others.

    ``photos`` are the keys to cache computed features under, with the image tokens of each. A
    micro-batch that doesn't count only keeps a process in step with the others.
    """

    batch: TensorBatch
    samples: int
    label_tokens: int
    photos: tuple[tuple[PhotoKey | None, int], ...] = ()
    replaced: tuple[Replaced, ...] = ()
    counts: bool = True

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        pad_token_id: int,
        tower: Tower,
        replaced: tuple[Replaced, ...] = (),
        fill: int = 0,
    ) -> "MicroBatch":
        """The samples packed into one row, padded up to ``fill`` tokens where it's shorter."""
        tokens = sum(len(sample) for sample in samples)
        multiple = fill if fill >= tokens else ROW_MULTIPLE
        computed = [sample for sample in samples if sample.features is None]
        return cls(
            batch=TensorBatch.of(collate(list(samples), pad_token_id, multiple), tower),
            samples=len(samples),
            label_tokens=sum(sample.label_tokens for sample in samples),
            photos=tuple((sample.photo, sample.image_tokens) for sample in computed),
            replaced=replaced,
        )

    def pin_memory(self) -> "MicroBatch":
        """Called by torch's DataLoader."""
        return replace(self, batch=self.batch.pin_memory())
