"""Packed micro-batches in order, decoded and patched in loader processes."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from core.data.dataset import SignRows
from core.data.order import replacement
from core.data.pack import pack
from core.data.samples import Sample, SampleEncoder
from core.data.unusable import UnusableError
from core.errors import DataGoneError
from core.model.vision import Tower
from core.train.loading.micro_batch import MicroBatch, Replaced
from core.train.loading.processes import Arriving, LoaderDiedError
from core.train.loading.step_plan import StepPlan

MOST_REPLACEMENTS = 16
MOST_DEATHS = 3
# Micro-batches that each worker loads ahead.
_PREFETCHED = 4


@dataclass(frozen=True)
class _Wanted:
    """Row indices of one micro-batch, and the epoch (from 0) that asks for them."""

    epoch: int
    indices: list[int]
    counts: bool


@dataclass(frozen=True)
class _Gone:
    """The data set as a whole can't be read; an exception would arrive without its type."""

    sentence: str


class _MicroBatches(Dataset[list[MicroBatch] | _Gone]):
    """Encodes the rows that it is asked for; a row that can't be used is replaced by order."""

    def __init__(
        self, rows: SignRows, encoder: SampleEncoder, pad: int, tower: Tower, plan: StepPlan
    ) -> None:
        self._rows = rows
        self._encoder = encoder
        self._pad = pad
        self._tower = tower
        self._plan = plan

    def __getitem__(self, wanted: _Wanted) -> list[MicroBatch] | _Gone:
        replaced: list[Replaced] = []
        try:
            samples = [self._sample(index, wanted.epoch, replaced) for index in wanted.indices]
        except DataGoneError as error:
            return _Gone(str(error))
        # A stand-in can be larger than the row it stands for, so the group may have to part.
        groups = pack([self._plan.counted(sample) for sample in samples], self._plan.budget)
        made = [
            MicroBatch.of([samples[place] for place in group], self._pad, self._tower)
            for group in groups
        ]
        made[0] = replace(made[0], replaced=tuple(replaced))
        if wanted.counts:
            return made
        return [replace(micro, counts=False, samples=0, label_tokens=0) for micro in made]

    def _sample(self, index: int, epoch: int, replaced: list[Replaced]) -> Sample:
        bad: list[tuple[int, str]] = []
        taken = index
        for attempt in range(1, MOST_REPLACEMENTS + 1):
            found = self._read(taken)
            if isinstance(found, Sample):
                line = int(self._rows.lines[taken])
                replaced += [Replaced(int(self._rows.lines[row]), why, line) for row, why in bad]
                return found
            bad.append((taken, f"{self._rows.photos[taken]}: {found}"))
            taken = replacement(self._plan.seed, epoch, len(self._rows), index, attempt)
        raise DataGoneError(
            f"{self._rows.path}: {len(bad)} rows one after another can't be read, the last: "
            f"{bad[-1][1]}; see whether the disk with the photos is there, then resume"
        )

    def _read(self, index: int) -> Sample | str:
        """The sample of a row, or why it can't be used."""
        try:
            sample = self._encoder.read(self._rows[index], self._rows.size(index), with_answer=True)
        except UnusableError as problem:
            return str(problem)
        return self._plan.certified.excess(sample) or sample


class _StepOrder(Sampler[_Wanted]):
    """Row indices of every micro-batch from optimizer step ``start`` to ``stop``."""

    def __init__(self, plan: StepPlan, start: int, stop: int) -> None:
        self._plan, self._start, self._stop = plan, start, stop

    def __iter__(self) -> Iterator[_Wanted]:
        for step in range(self._start, self._stop):
            groups, counts = self._plan.micro_batches(step)
            for group in groups:
                yield _Wanted(step // self._plan.steps_an_epoch, group, counts)


def _as_it_is(item: Any) -> Any:
    return item


def load_steps(
    rows: SignRows,
    encoder: SampleEncoder,
    pad_token_id: int,
    tower: Tower,
    plan: StepPlan,
    *,
    start: int,
    stop: int,
    workers: int,
    pin_memory: bool,
    on_death: Callable[[int, str], None] | None = None,
) -> Generator[list[MicroBatch]]:
    """The micro-batches of each optimizer step from ``start`` (from 0) to ``stop``, in order.

    What a step holds depends on the plan and the step alone, not on the number of workers. Where a
    worker dies it's loaded on from the step at hand, and ``on_death`` hears the step (from 0) and
    how it died. Raises DataGoneError if MOST_REPLACEMENTS rows one after another can't be read, or
    workers died MOST_DEATHS times in one step.
    """
    dataset = _MicroBatches(rows, encoder, pad_token_id, tower, plan)
    deaths = careful_until = 0
    while start < stop:
        until = start + 1 if start < careful_until else stop
        loader = DataLoader(
            dataset,
            batch_size=None,
            sampler=_StepOrder(plan, start, until),
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            prefetch_factor=_PREFETCHED if workers else None,
            # A generator of its own keeps the loader from drawing on the global random state.
            generator=torch.Generator().manual_seed(plan.seed),
        )
        arriving = Arriving(loader)
        try:
            while start < until:
                groups, _counts = plan.micro_batches(start)
                yield [micro for _ in groups for micro in _here(next(arriving))]
                start, deaths = start + 1, 0
        except LoaderDiedError as death:
            deaths += 1
            # What killed it may be a photo of a later step, so those on the way come one by one.
            careful_until = start + _PREFETCHED * workers
            if deaths == MOST_DEATHS:
                raise DataGoneError(_too_deadly(rows, plan, start, str(death))) from death
            if on_death is not None:
                on_death(start, str(death))


def _too_deadly(rows: SignRows, plan: StepPlan, step: int, death: str) -> str:
    groups, _counts = plan.micro_batches(step)
    lines = ", ".join(str(int(rows.lines[index])) for group in groups for index in group)
    return (
        f"{rows.path}: loading step {step + 1} failed {MOST_DEATHS} times, the last: {death}; its "
        f"rows are {lines}; see whether the host has memory left (fewer train.loader_workers take "
        "less), or take out a row whose photo can't be decoded, then resume"
    )


def _here(arrived: list[MicroBatch] | _Gone) -> list[MicroBatch]:
    if isinstance(arrived, _Gone):
        raise DataGoneError(arrived.sentence)
    return arrived
