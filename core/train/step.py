"""One optimizer step, from micro-batches on the host to changed adapter weights."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from core.hardware.device import Mark
from core.model.flops import Work
from core.train.loading.micro_batch import MicroBatch
from core.train.optimizer import update
from core.train.setup import Trainable

Keep = Callable[[MicroBatch, Tensor], None]


@dataclass(frozen=True)
class MicroMarks:
    """Moments of a micro-batch: begun, features there, loss there, gradients there."""

    begun: Mark
    seen: Mark
    read: Mark
    learned: Mark


@dataclass(frozen=True)
class Milliseconds:
    """Where the time of a step went, in ms."""

    vision: float
    forward: float
    backward: float
    optimizer: float


@dataclass(frozen=True)
class StepOutcome:
    """What a step left on the device; reading it waits for the device, so read it late.

    ``loss`` is the mean over label tokens of all processes; ``work`` is what this one had to do;
    ``scaled`` says that gradients that aren't finite lower a loss scale.
    """

    loss: Tensor
    grad_norm: Tensor
    marks: tuple[MicroMarks, ...]
    optimizer_marks: tuple[Mark, Mark]
    samples: int
    label_tokens: int
    work: Work
    scaled: bool

    def milliseconds(self) -> Milliseconds:
        """Where the time of the step went."""
        return Milliseconds(
            vision=sum(marks.seen.ms_since(marks.begun) for marks in self.marks),
            forward=sum(marks.read.ms_since(marks.seen) for marks in self.marks),
            backward=sum(marks.learned.ms_since(marks.read) for marks in self.marks),
            optimizer=self.optimizer_marks[1].ms_since(self.optimizer_marks[0]),
        )


def run_step(
    trainable: Trainable,
    micro_batches: list[MicroBatch],
    *,
    seed: int,
    learning_rate: float,
    max_grad_norm: float,
    keep: Keep | None = None,
    after_backward: Callable[[], None] | None = None,
    before_each: Callable[[], None] | None = None,
) -> StepOutcome:
    """Accumulates the gradients of all micro-batches and updates the adapter once.

    The loss is normalised over the label tokens of the whole step and of all processes, so that
    the split into micro-batches doesn't change it. Where loss or gradient is not finite the adapter
    stays as it is, in all processes alike: both are the same in each. ``seed`` fixes dropout.
    ``keep`` is given the features that were computed; ``after_backward`` is called when all
    gradients are there, scaled back. Each of ``micro_batches`` is taken from the list as it begins,
    so that it goes as soon as it's used, and a failed step leaves those that it didn't come to.
    ``before_each`` is called before every micro-batch and may raise to leave the step undone.
    """
    figures = _Figures.of(micro_batches)
    torch.manual_seed(seed)
    share = _share_of_a_label(trainable, figures.label_tokens)
    total = torch.zeros((), device=trainable.device.torch_device)
    marks = []
    while micro_batches:
        if before_each is not None:
            before_each()
        micro = micro_batches.pop(0)
        with _together(trainable, last=not micro_batches):
            loss, moments = _learn(trainable, micro, share, keep)
        total += loss
        marks.append(moments)
        del micro, loss
    if trainable.accelerator.num_processes > 1:
        total = trainable.accelerator.reduce(total, reduction="mean")
    before = trainable.device.mark()
    trainable.scaler.unscale_(trainable.optimizer)
    if after_backward is not None:
        after_backward()
    grad_norm = torch.nn.utils.clip_grad_norm_(
        [value for _name, value in trainable.parameters], max_grad_norm
    )
    for group in trainable.optimizer.param_groups:
        group["lr"] = learning_rate
    update(trainable.optimizer, total.isfinite() & grad_norm.isfinite())
    trainable.scaler.update()
    trainable.optimizer.zero_grad(set_to_none=True)
    return StepOutcome(
        loss=total,
        grad_norm=grad_norm,
        marks=tuple(marks),
        optimizer_marks=(before, trainable.device.mark()),
        samples=figures.samples,
        label_tokens=figures.label_tokens,
        work=figures.work,
        scaled=trainable.scaler.is_enabled(),
    )


@dataclass(frozen=True)
class _Figures:
    """What is known of a step before it runs."""

    samples: int
    label_tokens: int
    work: Work

    @classmethod
    def of(cls, micro_batches: Sequence[MicroBatch]) -> "_Figures":
        return cls(
            samples=sum(micro.samples for micro in micro_batches),
            label_tokens=sum(micro.label_tokens for micro in micro_batches),
            work=sum((Work.of(micro.batch) for micro in micro_batches), Work()),
        )


def _share_of_a_label(trainable: Trainable, label_tokens: int) -> Tensor:
    """What the summed loss is multiplied by: gradients of the processes are averaged later."""
    processes = trainable.accelerator.num_processes
    labels = torch.full((), float(label_tokens), device=trainable.device.torch_device)
    if processes > 1:
        labels = trainable.accelerator.reduce(labels, reduction="sum")
    share: Tensor = processes / labels
    return share


def _together(trainable: Trainable, *, last: bool) -> AbstractContextManager[None]:
    """Processes exchange gradients once a step, with the last micro-batch."""
    if last or trainable.accelerator.num_processes == 1:
        return nullcontext()
    alone: AbstractContextManager[None] = trainable.accelerator.no_sync(trainable.step_forward)
    return alone


def _learn(
    trainable: Trainable, micro: MicroBatch, share: Tensor, keep: Keep | None
) -> tuple[Tensor, MicroMarks]:
    """Adds a micro-batch's gradients; returns its part of the loss."""
    device = trainable.device
    batch = micro.batch.to(device.torch_device)
    device.count(batch.tensors())
    begun = device.mark()
    seen = begun

    def note() -> None:
        nonlocal seen
        seen = device.mark()

    keeping = None if keep is None else (lambda features: keep(micro, features))
    summed = trainable.step_forward(batch, note, keeping)
    loss = summed * (share if micro.counts else share * 0.0)
    read = device.mark()
    trainable.scaler.scale(loss).backward()
    return loss.detach(), MicroMarks(begun, seen, read, device.mark())
