"""The recipe: read `train` from top to bottom."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.data.feature_store import FeatureStore
from core.data.order import step_rows
from core.errors import DataGoneError, StoppedError
from core.evaluate.generate import SignReader
from core.events import CheckpointSaved, Log, State, TrainingStarted
from core.hardware.device import Device
from core.model.families.family import trains_vision
from core.model.flops import StepFlops
from core.model.lora import read_adapter, save_adapter
from core.train import checkpoint
from core.train.checkpoint import Best, TrainerState
from core.train.features import FeatureWriter, open_features, token_bytes
from core.train.gate import GradientGate
from core.train.job import Job
from core.train.loader import MicroBatch, load_steps
from core.train.optimizer import read_optimizer, save_optimizer
from core.train.progress import DoneStep, Progress, Speed
from core.train.schedule import learning_rate
from core.train.self_tests import try_fast_paths
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
        fast = try_fast_paths(device, nf4=job.precision.weights == "nf4")
        for sentence in fast.fallbacks:
            job.events.write(Log(level="warning", message=sentence))
        self._parts = build(
            config.model,
            job.precision,
            job.family,
            job.processing.pixels,
            config.lora,
            config.train,
            device,
            fast,
        )
        self._gate = GradientGate(self._parts.parameters)
        self._plan = job.step_plan(self._max_pixels, certificate.setup.micro_batch_tokens)
        self._features, self._writer = self._open_features()
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
        self.steps = self._plan.steps_an_epoch * config.train.epochs
        self._progress = Progress(job.events, device.limit_bytes, self.steps, self._speed())
        self._best: Best | None = None
        self._saved_step: int | None = None
        self._saved_at = self._step_ended = self._waited_since = time.perf_counter()
        self._validation_s = self._checkpoint_s = 0.0

    def _open_features(self) -> tuple[FeatureStore | None, FeatureWriter | None]:
        store, sentence = open_features(self._job, self._max_pixels, token_bytes(self._parts.base))
        if sentence is not None:
            self._job.events.write(Log(level="info", message=sentence))
        return store, FeatureWriter(store, self._device) if store is not None else None

    def _speed(self) -> Speed:
        flops = StepFlops.of(
            self._parts.base, trains_vision=trains_vision(self._job.config.lora.targets)
        )
        profile, compute = self._job.profile, self._job.precision.compute
        peaks = {"bf16": profile.bf16_tflops, "fp16": profile.fp16_tflops}
        peak = peaks.get(compute)
        return Speed(flops, peak * 1e12 if peak is not None else None)

    def resume(self) -> None:
        """Goes on from the newest checkpoint that verifies, if there is one."""
        path, passed_over = checkpoint.newest(self._job.run.checkpoints)
        for line in passed_over:
            self._job.events.write(Log(level="warning", message=line))
        if path is None:
            return
        state = checkpoint.read_state(path)
        read_adapter(self._parts.model, path / checkpoint.ADAPTER_FOLDER)
        optimizer = self._parts.optimizer
        read_optimizer(optimizer, self._parts.parameters, path / checkpoint.OPTIMIZER_FILE)
        self._device.count(value for kept in optimizer.state.values() for value in kept.values())
        if state.scaler:
            self._parts.scaler.load_state_dict(state.scaler)
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
        self._validation_s = self._checkpoint_s = 0.0

    def steps_to_do(self) -> Iterator[list[MicroBatch]]:
        """The micro-batches of every step that is left, in order."""
        config = self._job.config.train
        return load_steps(
            self._job.train_rows,
            self._job.processing.encoder(self._max_pixels, self._features),
            self._job.processing.pad_token_id,
            self._job.tower,
            self._plan,
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
            keep=self._writer.keep if self._writer is not None else None,
            after_backward=None if self._gate.passed else self._check_gradients,
        )
        rows = step_rows(config.seed, self.step, len(self._job.train_rows), config.batch)
        self.step += 1
        now = time.perf_counter()
        self._validator.trained(now - self._waited_since)
        self._progress.add(
            DoneStep(
                step=self.step,
                epoch=self.step / self._plan.steps_an_epoch,
                learning_rate=rate,
                outcome=outcome,
                samples=len(rows),
                data_s=arrived - self._waited_since,
                wall_s=now - self._step_ended,
                validation_s=self._validation_s,
                checkpoint_s=self._checkpoint_s,
                used_bytes=self._device.used_bytes(),
                peak_bytes=self._device.peak_bytes(),
            )
        )
        self._device.reset_peak()
        self._step_ended = self._waited_since = now
        self._validation_s = self._checkpoint_s = 0.0
        self._tell_cache_failure()

    def _check_gradients(self) -> None:
        self._gate.check(scaled=self._parts.scaler.is_enabled())

    def _tell_cache_failure(self) -> None:
        if self._writer is not None and self._writer.failure is not None:
            self._job.events.write(Log(level="warning", message=self._writer.failure))
            self._writer = None

    def validate_if_due(self) -> None:
        """Reads a slice of validation rows when the time share allows it, or on request."""
        if self._job.control.take("evaluate") or self._validator.slice_due():
            started = time.perf_counter()
            self._enter("validating")
            self._validator.read_slice(self.step)
            self._enter("training")
            self._waited_since = time.perf_counter()
            self._validation_s += self._waited_since - started

    def save_if_due(self) -> None:
        """Saves and selects by the clock, or on request."""
        minutes = (time.perf_counter() - self._saved_at) / 60
        asked = self._job.control.take("checkpoint")
        if asked or minutes >= self._job.config.train.checkpoint_minutes:
            started = time.perf_counter()
            if self._validator.selection_due():
                self._select()
            selected = time.perf_counter()
            self.save()
            self._enter("training")
            self._waited_since = time.perf_counter()
            self._validation_s += selected - started
            self._checkpoint_s += self._waited_since - selected

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
        if self._writer is not None:
            self._writer.flush()
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
            self._parts.optimizer, self._parts.parameters, folder / checkpoint.OPTIMIZER_FILE
        )
        state = TrainerState(
            step=self.step,
            validation=self._validator.state(),
            best=self._best,
            scaler=self._parts.scaler.state_dict(),
        )
        (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state))

    def _tell_replaced(self, micro_batches: list[MicroBatch]) -> None:
        for micro in micro_batches:
            for row in micro.replaced:
                self._job.tell_set_aside(
                    self._job.train_rows.path, row.line, row.sentence, row.taken
                )

    def _enter(self, state: State) -> None:
        self._job.control.enter(state)
