"""Running out of memory in training is an event, not an end: what is undone and done instead."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import torch

from core.errors import KocrError, first_line
from core.events import RanOutOfMemory, Remedy
from core.hardware.device import Device
from core.hardware.out_of_memory import OutOfMemory, is_out_of_memory
from core.model.checkpointing import checkpoint_layers
from core.model.families.family import trains_vision
from core.profile import GIB
from core.train.checkpoints.checkpoint import Savings
from core.train.job import Job
from core.train.loading.step_plan import StepPlan
from core.train.setup import Trainable

# Others on the card come and go: half a minute in all.
WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)


class NoMemoryError(KocrError):
    """Not even one sample fits, and waiting didn't help; what was learnt is worth keeping."""


@contextmanager
def in_one_line(device: Device) -> Iterator[None]:
    """Raises KocrError where memory runs out and nothing else is to be done about it."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise KocrError(
            f"{device.name}: out of memory: {first_line(error)}; free the card (`kocr-tui doctor` "
            "lists who is on it), then resume"
        ) from error


class Untouched:
    """Gradients, moments and loss scale as they are before a step, to go back to if it fails.

    With AdamW's fused kernel an update allocates nothing but the first one's moments, and those
    before it changes anything, so that they are dropped here and made again; an update that has
    begun, as the plain one may when it finds no room for its intermediates, isn't taken back.
    """

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable
        self._updates = {
            value: _updates(moments) for value, moments in trainable.optimizer.state.items()
        }

    def restore(self) -> None:
        """Takes a failed step back; raises KocrError if its update had begun."""
        optimizer, scaler = self._trainable.optimizer, self._trainable.scaler
        for value, moments in list(optimizer.state.items()):
            if _updates(moments) != self._updates.get(value, 0):
                raise KocrError(
                    "out of memory in the middle of an optimizer update, so the weights can't be "
                    "trusted; free the card (`kocr-tui doctor` lists who is on it), then resume: "
                    "it goes on from the last checkpoint"
                )
            if value not in self._updates:
                del optimizer.state[value]
        optimizer.zero_grad(set_to_none=True)
        if scaler.is_enabled():
            # Setting the scale that it has makes a scaler forget that gradients were unscaled.
            scaler.scale(torch.zeros((), device=self._trainable.device.torch_device))
            scaler.update(scaler.get_scale())


def _updates(moments: dict[str, torch.Tensor]) -> int:
    """How often a parameter's update was begun; moments that were being made may be incomplete."""
    # torch counts changes in place, and to count itself is the first that an update does.
    return moments["step"]._version if "step" in moments else 0


class Recovery:
    """How a process trains on after it ran out of memory.

    ``plan`` packs the steps from here on, and ``savings`` are what a checkpoint keeps.
    """

    def __init__(self, job: Job, trainable: Trainable, plan: StepPlan) -> None:
        self._job = job
        self._trainable = trainable
        self.plan = plan
        self.savings = Savings()
        self.begin(0)

    def adopt(self, savings: Savings) -> None:
        """Goes on with what an earlier worker of the run had to save."""
        if savings.budget is not None:
            self.plan = replace(self.plan, budget=min(self.plan.budget, savings.budget))
        if savings.recompute:
            self._recompute()
        self.savings = savings

    def begin(self, step: int) -> None:
        """Step ``step`` (from 0) is about to be tried for the first time."""
        self._step = step
        self._untouched = Untouched(self._trainable)
        self._saved_before = self.savings
        self._waits = iter(WAITS_SECONDS)

    def make_room(self, failed: OutOfMemory, shared: int) -> None:
        """Takes the failed step back and sees to it that it can be done again.

        ``shared`` are the most tokens of a micro-batch with several samples (0: the one that
        failed had one alone). Those are halved first; then all activations are recomputed; then
        it's waited. Raises NoMemoryError when that was in vain, KocrError where processes train
        together, StoppedError or AbortedError if that is asked meanwhile.
        """
        device = self._trainable.device
        self._untouched.restore()
        device.free_cache()
        if self.plan.processes > 1:
            raise KocrError(
                f"{device.name}: out of memory in step {self._step + 1}: {failed.words}; processes "
                "that train together can't step back; free the cards (`kocr-tui doctor` lists who "
                "is on them), then resume: it goes on from the last checkpoint"
            )
        before = self.plan.budget
        if shared:
            self.plan = replace(self.plan, budget=max(1, min(before, shared) // 2))
            self.savings = msgspec.structs.replace(self.savings, budget=self.plan.budget)
            self._tell(failed, "halve", before)
        elif not self._recomputes_all():
            self._recompute()
            self._tell(failed, "recompute", before)
        else:
            self._wait(failed)
        device.reset_peak()

    def _wait(self, failed: OutOfMemory) -> None:
        seconds = next(self._waits, None)
        # Savings that were in vain would only slow down a worker that resumes.
        tried, self.savings = self.savings, self._saved_before
        if seconds is None:
            device = self._trainable.device
            raise NoMemoryError(
                f"{device.name}: out of memory in step {self._step + 1}: not even one sample fits "
                f"in the {device.available_bytes() / GIB:.2f} GiB that others leave; free the card "
                "(`kocr-tui doctor` lists who is on it), then resume"
            )
        self._tell(failed, "wait", self.plan.budget)
        self._job.control.wait(seconds)
        self.savings = tried

    def _recomputes_all(self) -> bool:
        layers = self._trainable.base.model.language_model.layers
        return all(layer.gradient_checkpointing for layer in layers)

    def _recompute(self) -> None:
        lora = self._job.config.lora
        checkpoint_layers(
            self._trainable.base,
            "all",
            trains_vision=trains_vision(lora.targets),
            dropout=lora.dropout > 0,
        )
        self.savings = msgspec.structs.replace(self.savings, recompute=True)

    def _tell(self, failed: OutOfMemory, remedy: Remedy, before: int) -> None:
        device = self._trainable.device
        self._job.events.write(
            RanOutOfMemory(
                step=self._step + 1,
                remedy=remedy,
                budget_before=before,
                budget_after=self.plan.budget,
                peak_bytes=device.peak_bytes(),
                limit_bytes=device.available_bytes(),
                message=failed.words,
            )
        )
