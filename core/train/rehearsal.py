"""Training starts on the worst batch: what was proved to fit is tried before the first step."""

from functools import partial

from core.hardware.out_of_memory import OutOfMemory, attempt
from core.train.job import Job
from core.train.loading.micro_batch import MicroBatch
from core.train.recovery import Recovery
from core.train.setup import Trainable
from core.tune.worst_case import find_extremes, worst_photo, worst_samples


class Rehearsal:
    """Forward and backward of the worst micro-batch, and nothing learnt from it.

    It asks no other process for anything, draws no random number that a step draws again (a step
    seeds its own), and takes the memory that training needs before anyone else does.
    """

    def __init__(self, job: Job, trainable: Trainable, recovery: Recovery, max_pixels: int) -> None:
        self._job = job
        self._trainable = trainable
        self._recovery = recovery
        self._encoder = job.processing.encoder(max_pixels)
        self._extremes = find_extremes(
            job.train_rows, job.validation_rows, job.processing.text.token_count
        )
        self._photo = worst_photo(self._extremes, job.processing.geometry, max_pixels)

    def hold(self, step: int) -> None:
        """Rehearses before step ``step`` (from 0); smaller where memory runs out, see Recovery."""
        self._recovery.begin(step)
        worst = self._worst()
        while isinstance(failed := attempt(partial(self._try, worst)), OutOfMemory):
            shared = sum(worst.batch.lengths) if worst.samples > 1 else 0
            self._recovery.make_room(failed, shared)
            worst = self._worst()
        del worst
        self._trainable.optimizer.zero_grad(set_to_none=True)
        self._trainable.device.reset_peak()

    def _worst(self) -> MicroBatch:
        with self._trainable.device.host_work():
            samples = worst_samples(
                self._encoder,
                (self._photo.width, self._photo.height),
                self._extremes.prompt,
                self._extremes.answer,
                budget=self._recovery.plan.budget,
                batch=self._job.config.train.batch,
            )
            return MicroBatch.of(
                samples,
                self._job.processing.pad_token_id,
                self._job.tower,
                fill=self._recovery.plan.budget,
            )

    def _try(self, micro: MicroBatch) -> None:
        device = self._trainable.device
        batch = micro.batch.to(device.torch_device)
        device.count(batch.tensors())
        self._trainable.model.train()
        self._trainable.forward(batch, device.mark).backward()
