"""One optimizer step, from micro-batches on the host to changed adapter weights."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from core.hardware.device import Mark
from core.train.loader import MicroBatch
from core.train.setup import Trainable


@dataclass(frozen=True)
class StepOutcome:
    """What a step left on the device; reading it waits for the device, so read it late.

    ``loss`` is the mean over label tokens; ``marks`` are (before, after vision, after language)
    for each micro-batch.
    """

    loss: Tensor
    grad_norm: Tensor
    marks: tuple[tuple[Mark, Mark, Mark], ...]
    optimizer_marks: tuple[Mark, Mark]
    samples: int
    label_tokens: int

    def milliseconds(self) -> tuple[float, float, float]:
        """Vision, language and optimizer time of the step."""
        vision = sum(after.ms_since(before) for before, after, _end in self.marks)
        language = sum(end.ms_since(after) for _before, after, end in self.marks)
        return vision, language, self.optimizer_marks[1].ms_since(self.optimizer_marks[0])


def run_step(
    trainable: Trainable,
    micro_batches: list[MicroBatch],
    *,
    seed: int,
    learning_rate: float,
    max_grad_norm: float,
) -> StepOutcome:
    """Accumulates the gradients of all micro-batches and updates the adapter once.

    The loss is normalised over the label tokens of the whole step, so that the split into
    micro-batches doesn't change it. ``seed`` fixes dropout. ``micro_batches`` is emptied, so that
    each goes as soon as it's used.
    """
    waiting = deque(micro_batches)
    micro_batches.clear()
    label_tokens = sum(micro.label_tokens for micro in waiting)
    device = trainable.device
    torch.manual_seed(seed)
    total = torch.zeros((), device=device.torch_device)
    marks = []
    samples = sum(micro.samples for micro in waiting)
    while waiting:
        micro = waiting.popleft()
        batch = micro.batch.to(device.torch_device)
        device.count(batch.tensors())
        before = device.mark()
        features = trainable.forward.image_features(batch)
        seen = device.mark()
        loss = trainable.step_forward(batch, features) / label_tokens
        trainable.accelerator.backward(loss)
        marks.append((before, seen, device.mark()))
        total += loss.detach()
        del micro, batch, features, loss
    before = device.mark()
    tensors = [value for _name, value in trainable.parameters]
    grad_norm = trainable.accelerator.clip_grad_norm_(tensors, max_grad_norm)
    for group in trainable.bare_optimizer.param_groups:
        group["lr"] = learning_rate
    trainable.optimizer.step()
    trainable.optimizer.zero_grad(set_to_none=True)
    return StepOutcome(
        loss=total,
        grad_norm=grad_norm,
        marks=tuple(marks),
        optimizer_marks=(before, device.mark()),
        samples=samples,
        label_tokens=label_tokens,
    )
