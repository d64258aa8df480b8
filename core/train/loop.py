"""The recipe: read `train` from top to bottom."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.data.order import steps_per_epoch
from core.errors import DataGoneError, StoppedError
from core.evaluate.generate import SignReader
from core.events import CheckpointSaved, Log, State, TrainingStarted
from core.hardware.device import Device
from core.model.lora import read_adapter, save_adapter
from core.train import checkpoint
from core.train.checkpoint import Best, TrainerState
from core.train.job import Job
from core.train.loader import MicroBatch, load_steps
from core.train.optimizer import read_optimizer, save_optimizer
from core.train.progress import DoneStep, Progress
from core.train.schedule import learning_rate
from core.train.setup import build
from core.train.step import run_step
from core.train.validation import Validator
from core.tune.certificate import Certificate


def train(job: Job, certificate: Certificate, device: Device) -> int:
    """Trains to the end inside the certificate and returns the number of steps done.

    Raises StoppedError if a stop was asked for, DataGoneError if the photos are gone; each after
    saving a checkpoint.
    """
    trainer = Trainer(job, certificate, device)
    trainer.resume()
    trainer.take_baseline()
    trainer.announce()
    try:
        for micro_batches in trainer.steps_to_do():
            trainer.do_step(micro_batches)
            trainer.validate_if_due()
            trainer.save_if_due()
            trainer.obey()
        trainer.finish()
    except (StoppedError, DataGoneError):
        trainer.save()
        raise
    return trainer.step


class Trainer:
    """Training between two steps; ``step`` counts finished optimizer steps."""

    def __init__(self, job: Job, certificate: Certificate, device: Device) -> None:
        config = job.config
        self._job = job
        self._device = device
        self._max_pixels = certificate.setup.max_pixels
        self._parts = build(
            config.model,
            job.weights,
            job.family,
            job.processing.pixels,
            config.lora,
            config.train,
            device,
        )
        self._validator = Validator(
            job,
            SignReader(
                self._parts.base,
                job.processing,
                device,
                max_pixels=self._max_pixels,
                max_new_tokens=config.validation.max_new_tokens,
            ),
        )
        self.step = 0
        self.steps_an_epoch = steps_per_epoch(len(job.train_rows), config.train.batch)
        self.steps = self.steps_an_epoch * config.train.epochs
        self._progress = Progress(job.events, device.limit_bytes, self.steps)
        self._best: Best | None = None
        self._saved_step: int | None = None
        self._saved_at = self._step_ended = self._waited_since = time.perf_counter()

    def resume(self) -> None:
        """Goes on from the newest checkpoint that verifies, if there is one."""
        path, passed_over = checkpoint.newest(self._job.run.checkpoints)
        for line in passed_over:
            self._job.events.write(Log(level="warning", message=line))
        if path is None:
            return
        state = checkpoint.read_state(path)
        read_adapter(self._parts.model, path / checkpoint.ADAPTER_FOLDER)
        optimizer = self._parts.bare_optimizer
        read_optimizer(optimizer, self._parts.parameters, path / checkpoint.OPTIMIZER_FILE)
        self._device.count(value for kept in optimizer.state.values() for value in kept.values())
        self._validator.restore(state.validation)
        self.step = self._saved_step = state.step
        best = state.best
        if best and checkpoint.verify(checkpoint.path_of(path.parent, best.step)) is None:
            self._best = best
        self._job.events.write(Log(level="info", message=f"resumed from {path.name}"))

    def take_baseline(self) -> None:
        """Scores the base on the report rows before the first step."""
        if self.step == 0:
            self._enter("baseline")
            self._validator.report(0, "baseline")

    def announce(self) -> None:
        """Tells where training begins."""
        self._job.events.write(
            TrainingStarted(
                step=self.step,
                steps=self.steps,
                epochs=self._job.config.train.epochs,
                samples=len(self._job.train_rows),
                trainable_parameters=sum(value.numel() for _name, value in self._parts.parameters),
            )
        )
        self._enter("training")
        self._parts.model.train()
        self._saved_at = self._step_ended = self._waited_since = time.perf_counter()

    def steps_to_do(self) -> Iterator[list[MicroBatch]]:
        """The micro-batches of every step that is left, in order."""
        config = self._job.config.train
        return load_steps(
            self._job.train_rows,
            self._job.processing.encoder(self._max_pixels),
            self._job.processing.pad_token_id,
            seed=config.seed,
            batch=config.batch,
            micro_batch=config.micro_batch,
            start=self.step,
            stop=self.steps,
            workers=min(config.loader_workers, os.cpu_count() or 1),
            pin_memory=self._device.torch_device.type == "cuda",
        )

    def do_step(self, micro_batches: list[MicroBatch]) -> None:
        """One optimizer step."""
        config = self._job.config.train
        arrived = time.perf_counter()
        self._tell_replaced(micro_batches)
        rate = learning_rate(self.step, self.steps, config.learning_rate, config.warmup_ratio)
        outcome = run_step(
            self._parts,
            micro_batches,
            seed=config.seed * 1_000_003 + self.step,
            learning_rate=rate,
            max_grad_norm=config.max_grad_norm,
        )
        self.step += 1
        now = time.perf_counter()
        self._validator.trained(now - self._waited_since)
        self._progress.add(
            DoneStep(
                step=self.step,
                epoch=self.step / self.steps_an_epoch,
                learning_rate=rate,
                outcome=outcome,
                data_s=arrived - self._waited_since,
                wall_s=now - self._step_ended,
                used_bytes=self._device.used_bytes(),
                peak_bytes=self._device.peak_bytes(),
            )
        )
        self._device.reset_peak()
        self._step_ended = self._waited_since = now

    def validate_if_due(self) -> None:
        """Reads a slice of validation rows when the time share allows it, or on request."""
        if self._job.control.take("evaluate") or self._validator.slice_due():
            self._enter("validating")
            self._validator.read_slice(self.step)
            self._enter("training")
            self._waited_since = time.perf_counter()

    def save_if_due(self) -> None:
        """Saves and selects by the clock, or on request."""
        minutes = (time.perf_counter() - self._saved_at) / 60
        asked = self._job.control.take("checkpoint")
        if asked or minutes >= self._job.config.train.checkpoint_minutes:
            if self._validator.selection_due():
                self._select()
            self.save()
            self._enter("training")
            self._waited_since = time.perf_counter()

    def obey(self) -> None:
        """Stops or pauses if that was asked; a pause counts as neither training nor speed."""
        before = time.perf_counter()
        self._job.control.check()
        paused = time.perf_counter() - before
        self._waited_since += paused
        self._step_ended += paused

    def finish(self) -> None:
        """The last checkpoint, the last selection, and the report on the best adapter."""
        self._enter("validating")
        self._select()
        self.save()
        assert self._best is not None
        self._enter("validating")
        best = checkpoint.path_of(self._job.run.checkpoints, self._best.step)
        read_adapter(self._parts.model, best / checkpoint.ADAPTER_FOLDER)
        self._validator.report(self._best.step, "final")

    def _select(self) -> None:
        scores, is_best = self._validator.select(
            self.step, self._best.scores if self._best else None
        )
        if is_best:
            self._best = Best(step=self.step, scores=scores)

    def save(self) -> None:
        """Saves a checkpoint unless this step has one with the same best."""
        self._progress.flush()
        is_best = self._best is not None and self._best.step == self.step
        if self._saved_step == self.step and not is_best:
            return
        self._enter("saving")
        started = time.perf_counter()
        path = checkpoint.save(self._job.run.checkpoints, self.step, self._write_checkpoint)
        self._saved_step = self.step
        self._saved_at = time.perf_counter()
        checkpoint.retain(self._job.run.checkpoints, self._best.step if self._best else None)
        self._job.events.write(
            CheckpointSaved(
                step=self.step,
                path=str(path.relative_to(self._job.run.path)),
                seconds=time.perf_counter() - started,
                best=is_best,
            )
        )

    def _write_checkpoint(self, folder: Path) -> None:
        save_adapter(self._parts.model, folder / checkpoint.ADAPTER_FOLDER)
        save_optimizer(
            self._parts.bare_optimizer, self._parts.parameters, folder / checkpoint.OPTIMIZER_FILE
        )
        state = TrainerState(step=self.step, validation=self._validator.state(), best=self._best)
        (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state))

    def _tell_replaced(self, micro_batches: list[MicroBatch]) -> None:
        for micro in micro_batches:
            for row in micro.replaced:
                self._job.tell_set_aside(
                    self._job.train_rows.path, row.line, row.sentence, row.taken
                )

    def _enter(self, state: State) -> None:
        self._job.control.enter(state)
