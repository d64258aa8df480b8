"""Micro-batches in order, decoded and patched in loader processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from core.data.collate import collate
from core.data.dataset import SignRows
from core.data.images import BadImageError, open_upright
from core.data.order import step_rows
from core.data.samples import Sample, SampleEncoder
from core.model.step import TensorBatch


@dataclass(frozen=True)
class MicroBatch:
    """``batch`` is None where no photo of the micro-batch could be decoded.

    ``unreadable`` holds the line number and reason of every photo that was left out.
    """

    batch: TensorBatch | None
    samples: int
    label_tokens: int
    unreadable: tuple[tuple[int, str], ...]

    def pin_memory(self) -> "MicroBatch":
        """Called by torch's DataLoader."""
        pinned = self.batch.pin_memory() if self.batch is not None else None
        return MicroBatch(pinned, self.samples, self.label_tokens, self.unreadable)


class _MicroBatches(Dataset[MicroBatch]):
    """Encodes the rows whose indices it is asked for."""

    def __init__(self, rows: SignRows, encoder: SampleEncoder, pad_token_id: int) -> None:
        self._rows = rows
        self._encoder = encoder
        self._pad_token_id = pad_token_id

    def __getitem__(self, indices: Sequence[int]) -> MicroBatch:
        samples: list[Sample] = []
        unreadable: list[tuple[int, str]] = []
        for index in indices:
            row = self._rows[index]
            try:
                samples.append(
                    self._encoder.encode(open_upright(row.image), row.prompt, row.answer)
                )
            except BadImageError as problem:
                unreadable.append((int(self._rows.lines[index]), f"{row.image}: {problem}"))
        batch = TensorBatch.of(collate(samples, self._pad_token_id)) if samples else None
        labels = sum(sample.label_tokens for sample in samples)
        return MicroBatch(batch, len(samples), labels, tuple(unreadable))


class _StepOrder(Sampler[list[int]]):
    """Row indices of every micro-batch from optimizer step ``start`` to ``stop``."""

    def __init__(
        self, *, seed: int, rows: int, batch: int, micro_batch: int, start: int, stop: int
    ) -> None:
        self._seed, self._rows, self._batch = seed, rows, batch
        self._micro_batch, self._start, self._stop = micro_batch, start, stop

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._start, self._stop):
            indices = step_rows(self._seed, step, self._rows, self._batch).tolist()
            for first in range(0, len(indices), self._micro_batch):
                yield indices[first : first + self._micro_batch]


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

    What a step holds depends on seed and step alone, not on the number of workers.
    """
    loader = DataLoader(
        _MicroBatches(rows, encoder, pad_token_id),
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
        yield [next(arriving) for _ in range(count)]
