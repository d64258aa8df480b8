"""Micro-batches in order, decoded and patched in loader processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from core.data.collate import collate
from core.data.dataset import SignRows
from core.data.order import replacement, step_rows, steps_per_epoch
from core.data.samples import Sample, SampleEncoder
from core.data.unusable import UnusableError
from core.errors import DataGoneError
from core.model.step import TensorBatch

MOST_REPLACEMENTS = 16


@dataclass(frozen=True)
class Replaced:
    """A row that could not be read, and the row taken for it; ``line`` counts from 1."""

    line: int
    sentence: str
    taken: int


@dataclass(frozen=True)
class MicroBatch:
    """Samples side by side, and the rows among them that stand in for others."""

    batch: TensorBatch
    samples: int
    label_tokens: int
    replaced: tuple[Replaced, ...] = ()

    @classmethod
    def of(
        cls, samples: list[Sample], pad_token_id: int, replaced: tuple[Replaced, ...] = ()
    ) -> "MicroBatch":
        """The samples padded to one length."""
        batch = TensorBatch.of(collate(samples, pad_token_id))
        labels = sum(sample.label_tokens for sample in samples)
        return cls(batch, len(samples), labels, replaced)

    def pin_memory(self) -> "MicroBatch":
        """Called by torch's DataLoader."""
        return MicroBatch(self.batch.pin_memory(), self.samples, self.label_tokens, self.replaced)


@dataclass(frozen=True)
class _Wanted:
    """Row indices of one micro-batch, and the epoch (from 0) that asks for them."""

    epoch: int
    indices: list[int]


@dataclass(frozen=True)
class _Gone:
    """The data set as a whole can't be read; an exception would arrive without its type."""

    sentence: str


class _MicroBatches(Dataset[MicroBatch | _Gone]):
    """Encodes the rows that it is asked for; a row that can't be read is replaced by order."""

    def __init__(self, rows: SignRows, encoder: SampleEncoder, pad: int, seed: int) -> None:
        self._rows = rows
        self._encoder = encoder
        self._pad = pad
        self._seed = seed

    def __getitem__(self, wanted: _Wanted) -> MicroBatch | _Gone:
        replaced: list[Replaced] = []
        try:
            samples = [self._sample(index, wanted.epoch, replaced) for index in wanted.indices]
        except DataGoneError as error:
            return _Gone(str(error))
        return MicroBatch.of(samples, self._pad, tuple(replaced))

    def _sample(self, index: int, epoch: int, replaced: list[Replaced]) -> Sample:
        bad: list[tuple[int, str]] = []
        taken = index
        for attempt in range(1, MOST_REPLACEMENTS + 1):
            try:
                sample = self._encoder.read(
                    self._rows[taken], self._rows.size(taken), with_answer=True
                )
            except UnusableError as problem:
                bad.append((taken, f"{self._rows.photos[taken]}: {problem}"))
                taken = replacement(self._seed, epoch, len(self._rows), index, attempt)
                continue
            line = int(self._rows.lines[taken])
            replaced += [Replaced(int(self._rows.lines[row]), why, line) for row, why in bad]
            return sample
        raise DataGoneError(
            f"{self._rows.path}: {len(bad)} rows one after another can't be read, the last: "
            f"{bad[-1][1]}; see whether the disk with the photos is there, then resume"
        )


class _StepOrder(Sampler[_Wanted]):
    """Row indices of every micro-batch from optimizer step ``start`` to ``stop``."""

    def __init__(
        self, *, seed: int, rows: int, batch: int, micro_batch: int, start: int, stop: int
    ) -> None:
        self._seed, self._rows, self._batch = seed, rows, batch
        self._micro_batch, self._start, self._stop = micro_batch, start, stop

    def __iter__(self) -> Iterator[_Wanted]:
        for step in range(self._start, self._stop):
            epoch = step // steps_per_epoch(self._rows, self._batch)
            indices = step_rows(self._seed, step, self._rows, self._batch).tolist()
            for first in range(0, len(indices), self._micro_batch):
                yield _Wanted(epoch, indices[first : first + self._micro_batch])


def _as_it_is(item: Any) -> Any:
    return item


def load_steps(
    rows: SignRows,
    encoder: SampleEncoder,
    pad_token_id: int,
    *,
    seed: int,
    batch: int,
    micro_batch: int,
    start: int,
    stop: int,
    workers: int,
    pin_memory: bool,
) -> Iterator[list[MicroBatch]]:
    """The micro-batches of each optimizer step from ``start`` (from 0) to ``stop``, in order.

    What a step holds depends on seed and step alone, not on the number of workers. Raises
    DataGoneError if MOST_REPLACEMENTS rows one after another can't be read.
    """
    loader = DataLoader(
        _MicroBatches(rows, encoder, pad_token_id, seed),
        batch_size=None,
        sampler=_StepOrder(
            seed=seed, rows=len(rows), batch=batch, micro_batch=micro_batch, start=start, stop=stop
        ),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        # A generator of its own keeps the loader from drawing on the global random state.
        generator=torch.Generator().manual_seed(seed),
    )
    arriving = iter(loader)
    for step in range(start, stop):
        count = -(-len(step_rows(seed, step, len(rows), batch)) // micro_batch)
        yield [_here(next(arriving)) for _ in range(count)]


def _here(arrived: MicroBatch | _Gone) -> MicroBatch:
    if isinstance(arrived, _Gone):
        raise DataGoneError(arrived.sentence)
    return arrived
