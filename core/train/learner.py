"""What every process does in a run: its share of each optimizer step."""

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from core.errors import KocrError
from core.events import LoaderDied, Log, Setup
from core.hardware.device import Device
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.model.families.family import trains_vision
from core.model.flops import StepFlops
from core.model.lora import read_adapter, save_adapter
from core.train.checkpoints import checkpoint
from core.train.crew import Crew
from core.train.features import FeatureWriter, open_features, token_bytes
from core.train.gate import GradientGate
from core.train.job import Job
from core.train.loading.loader import load_steps
from core.train.loading.micro_batch import MicroBatch
from core.train.loading.step_plan import StepPlan
from core.train.optimizer import read_optimizer, save_optimizer
from core.train.progress import Speed
from core.train.recovery import Recovery
from core.train.rehearsal import Rehearsal
from core.train.schedule import learning_rate
from core.train.self_tests import try_fast_paths
from core.train.setup import build
from core.train.step import StepOutcome, run_step


class Learner:
    """Model, optimizer and data of one process; knows no clock, no validation, no requests.

    ``features`` is the cache of image features, None where none is used; ``cache_words`` say why,
    or where it is. It may be filled ``ahead`` of a run of one epoch too.
    """

    def __init__(
        self, job: Job, setup: Setup, device: Device, crew: Crew, *, ahead: bool = False
    ) -> None:
        config = job.config
        self._job = job
        self._device = device
        self._max_pixels = setup.max_pixels
        fast = try_fast_paths(device, nf4=job.precision.weights == "nf4")
        for sentence in fast.fallbacks:
            job.events.write(Log(level="warning", message=sentence))
        self.parts = build(
            config.model,
            job.precision,
            job.family,
            job.processing.pixels,
            config.lora,
            config.train,
            device,
            fast,
        )
        self._gate = GradientGate(self.parts.parameters)
        plan = replace(job.step_plan(setup), rank=crew.rank, processes=crew.processes)
        self.recovery = Recovery(job, self.parts, plan)
        self.steps_an_epoch = plan.steps_an_epoch
        self.steps = self.steps_an_epoch * config.train.epochs
        a_token = token_bytes(self.parts.base)
        self.features, self.cache_words = open_features(job, setup.max_pixels, a_token, ahead=ahead)
        if self.cache_words is not None:
            job.events.write(Log(level="info", message=self.cache_words))
        self._writer = FeatureWriter(self.features, device) if self.features is not None else None
        with device.host_work():
            self._fresh = [value.detach().cpu().clone() for _name, value in self.parts.parameters]
        self._fresh_scaler = self.parts.scaler.state_dict()

    def read(self, path: Path) -> None:
        """Goes back to a checkpoint that was verified, and on with what it kept.

        Raises UnfitError if its tensors are not those of this run's adapter.
        """
        read_adapter(self.parts.model, path / checkpoint.ADAPTER_FOLDER)
        optimizer = self.parts.optimizer
        read_optimizer(optimizer, self.parts.parameters, path / checkpoint.OPTIMIZER_FILE)
        self._device.count(value for kept in optimizer.state.values() for value in kept.values())
        state = checkpoint.read_state(path)
        if state.scaler:
            self.parts.scaler.load_state_dict(state.scaler)
        self.recovery.adopt(state.savings)

    def go_back(self, path: Path | None) -> None:
        """Goes back to a checkpoint that was verified, or to the fresh adapter; still saves."""
        savings = self.recovery.savings
        self.parts.optimizer.state.clear()
        if path is not None:
            self.read(path)
            self.recovery.adopt(savings)
            return
        with torch.no_grad():
            for (_name, value), fresh in zip(self.parts.parameters, self._fresh, strict=True):
                value.copy_(fresh)
        self.parts.scaler.load_state_dict(self._fresh_scaler)

    def write(self, folder: Path) -> None:
        """Adapter and optimizer into a checkpoint's folder.

        Raises KocrError if a weight is not finite and GpuLostError if the card has failed by then,
        so that no such checkpoint is kept.
        """
        # On the host, since it is saved where the device has no memory left, too.
        with torch.no_grad(), self._device.host_work():
            finite = all(value.cpu().isfinite().all() for _name, value in self.parts.parameters)
        if not finite:
            raise KocrError(
                "the adapter's weights are not finite, so they are not saved; resume goes on from "
                "the last checkpoint; lower train.learning_rate in the run's config.toml first"
            )
        save_adapter(self.parts.model, folder / checkpoint.ADAPTER_FOLDER)
        save_optimizer(
            self.parts.optimizer, self.parts.parameters, folder / checkpoint.OPTIMIZER_FILE
        )
        self._job.control.confirm_card()

    def checkpoint_bytes(self) -> int:
        """About what a checkpoint takes: the adapter's weights and two moments of each."""
        return 3 * sum(value.nbytes for _name, value in self.parts.parameters)

    def rows_in(self, step: int) -> int:
        """Samples of all processes in a step (from 0)."""
        return self.recovery.plan.rows_in(step)

    def rehearse(self, step: int) -> None:
        """Does the worst micro-batch before step ``step`` (from 0), learning nothing from it."""
        Rehearsal(self._job, self.parts, self.recovery, self._max_pixels).hold(step)

    def steps_from(self, start: int) -> Generator[list[MicroBatch]]:
        """This process's micro-batches of every step from ``start`` (from 0) on, in order.

        When memory ran out in a step, those after it are loaded anew, packed as is in force then.
        """
        workers = min(self._job.config.train.loader_workers, os.cpu_count() or 1)
        step = start
        while step < self.steps:
            plan = self.recovery.plan
            with closing(self._load(plan, step, self.steps, workers)) as arriving:
                for micro_batches in arriving:
                    yield micro_batches
                    step += 1
                    if self.recovery.plan is not plan:
                        break

    def _load(
        self, plan: StepPlan, start: int, stop: int, workers: int
    ) -> Generator[list[MicroBatch]]:
        loading = load_steps(
            self._job.train_rows,
            self._job.processing.encoder(self._max_pixels, self.features),
            self._job.processing.pad_token_id,
            self._job.tower,
            plan,
            start=start,
            stop=stop,
            workers=workers,
            pin_memory=self._device.torch_device.type == "cuda",
            on_death=self._tell_loader_died,
        )
        with closing(loading):
            for _ in range(start, stop):
                # Without loader processes photos are resized by torch in this one.
                with self._device.host_work():
                    micro_batches = next(loading)
                yield micro_batches

    def _tell_loader_died(self, step: int, how: str) -> None:
        self._job.events.write(
            LoaderDied(step=step + 1, message=f"{how}; its photos are loaded anew")
        )

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0)."""
        train = self._job.config.train
        return learning_rate(step, self.steps, train.learning_rate, train.warmup_ratio)

    def learn(self, step: int, micro_batches: list[MicroBatch]) -> StepOutcome:
        """One optimizer step (from 0), together with the other processes.

        Where it runs out of memory it's taken back and its samples are done again, see Recovery.
        """
        self.recovery.begin(step)
        while True:
            sizes = [micro.samples for micro in micro_batches]
            outcome = attempt(partial(self._step, step, micro_batches))
            if not isinstance(outcome, OutOfMemory):
                break
            failed = sizes[max(0, len(sizes) - len(micro_batches) - 1)]
            shared = self.recovery.plan.largest_shared(step) if failed > 1 else 0
            micro_batches.clear()
            self.recovery.make_room(outcome, shared)
            [micro_batches] = self._load(self.recovery.plan, step, step + 1, workers=0)
        if self._writer is not None and self._writer.failure is not None:
            self._job.events.write(Log(level="warning", message=self._writer.failure))
            self._writer = None
        return outcome

    def _step(self, step: int, micro_batches: list[MicroBatch]) -> StepOutcome:
        train = self._job.config.train
        return run_step(
            self.parts,
            micro_batches,
            seed=train.seed * 1_000_003 + step,
            learning_rate=self.rate(step),
            max_grad_norm=train.max_grad_norm,
            keep=self._writer.keep if self._writer is not None else None,
            after_backward=None if self._gate.passed else self._gate.check,
            # Processes that train together can only leave between two steps.
            before_each=self._job.control.check_stop if self.recovery.plan.processes == 1 else None,
        )

    def look(self, micro_batches: list[MicroBatch]) -> None:
        """Computes and caches what features the micro-batches lack; learns nothing."""
        while micro_batches:
            micro = micro_batches.pop(0)
            if micro.batch.layout is None or self._writer is None:
                continue
            batch = micro.batch.to(self._device.torch_device)
            self._device.count(batch.tensors())
            self._writer.keep(micro, self.parts.forward.image_features(batch))
            if self._writer.failure is not None:
                raise KocrError(self._writer.failure)

    def flush(self) -> None:
        """Writes image features that wait to be cached."""
        if self._writer is not None:
            self._writer.flush()

    def speed(self) -> Speed:
        """For figures of utilisation, where the profile knows the card's peak."""
        vision = trains_vision(self._job.config.lora.targets)
        profile = self._job.profile
        peaks = {"bf16": profile.bf16_tflops, "fp16": profile.fp16_tflops}
        peak = peaks.get(self._job.precision.compute)
        flops = StepFlops.of(self.parts.base, trains_vision=vision)
        return Speed(flops, peak * 1e12 if peak is not None else None)
