"""The recipe: read `train` from top to bottom."""

import time
from collections.abc import Iterator
from contextlib import closing, nullcontext

from core.errors import DataGoneError, KocrError, StoppedError
from core.evaluate.generate import SignReader
from core.events import Log, State, TrainingStarted
from core.hardware.device import Device
from core.model.lora import read_adapter
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import Best, TrainerState
from core.train.checkpoints.saving import Saver
from core.train.crew import Crew
from core.train.follower import LEAVE, PASS, STEP, Begin, GoBack, Start, gone_in, replaced_in
from core.train.job import Job
from core.train.learner import Learner
from core.train.loading.micro_batch import MicroBatch
from core.train.numbers import NumberWatch
from core.train.progress import DoneStep, Progress
from core.train.recovery import NoMemoryError
from core.train.validation import Validator
from core.tune.certificate import Certificate


def train(job: Job, certificate: Certificate, device: Device, crew: Crew) -> int:
    """Trains to the end inside the certificate and returns the number of steps done.

    Raises StoppedError if a stop was asked for, DataGoneError if the photos are gone, NoMemoryError
    if others hold the memory; each after saving a checkpoint, or KocrError that says so if the disk
    doesn't take it. Raises KocrError, too, if the loss isn't finite and going back didn't help.
    """
    trainer = Trainer(job, certificate, device, crew)
    trainer.resume()
    trainer.obey()
    trainer.rehearse()
    trainer.obey()
    trainer.take_baseline()
    trainer.announce()
    try:
        for micro_batches in trainer.arriving():
            trainer.do_step(micro_batches)
            trainer.validate_if_due()
            trainer.save_if_due()
            trainer.obey()
        trainer.finish()
    except (StoppedError, DataGoneError, NoMemoryError) as end:
        try:
            trainer.save_before(end)
        finally:
            crew.tell(LEAVE)
        raise
    crew.tell(LEAVE)
    return trainer.step


class Trainer:
    """Training between two steps; ``step`` counts finished optimizer steps."""

    def __init__(self, job: Job, certificate: Certificate, device: Device, crew: Crew) -> None:
        self._job = job
        self._device = device
        self._crew = crew
        self.step = 0
        crew.tell(Begin(config=job.config, setup=certificate.setup))
        self.learner = Learner(job, certificate.setup, device, crew)
        self._validator = Validator(
            job,
            SignReader(
                self.learner.parts.base,
                job.processing,
                device,
                max_pixels=certificate.setup.max_pixels,
                max_new_tokens=job.config.validation.max_new_tokens,
            ),
            certificate.setup.prompts or job.config.validation.slice_rows,
        )
        self._begun = self._validator.state()
        self._numbers = NumberWatch(job.events.write)
        self._progress = Progress(
            job.events,
            device.limit_bytes,
            self.learner.steps,
            self.learner.speed(),
            self._numbers,
        )
        self._saver = Saver(job, self.learner)
        self._best: Best | None = None
        self._reads_otherwise = False
        self._start_clocks()

    def _start_clocks(self) -> None:
        self._saver.start_clock()
        self._step_ended = self._waited_since = time.perf_counter()
        self._validation_s = self._checkpoint_s = 0.0

    def resume(self) -> None:
        """Goes on from the newest checkpoint that verifies, if there is one."""
        state, path, passed_over = self._saver.read_newest()
        for line in passed_over:
            self._job.events.write(Log(level="warning", message=line))
        if state is not None and path is not None:
            self._reads_otherwise = state.keys.reads_otherwise(self._job.keys)
            self._job.events.continue_after(state.event)
            self._validator.restore(state.validation)
            self._numbers.state = state.numbers
            self.step, self._best = state.step, self._saver.best
            self._job.events.write(Log(level="info", message=f"resumed from {path.name}"))
        self._crew.tell(Start(step=self.step, checkpoint=str(path) if path is not None else None))

    def rehearse(self) -> None:
        """Does the worst micro-batch once, where nothing is lost yet if it doesn't fit any more."""
        self.learner.rehearse(self.step)

    def take_baseline(self) -> None:
        """Scores the base on the report rows before the first step, and anew on other rows."""
        if self.step and not self._reads_otherwise:
            return
        self._enter("baseline")
        # A fresh adapter changes nothing.
        with self.learner.parts.model.disable_adapter() if self.step else nullcontext():
            self._validator.report(0, "baseline")

    def announce(self) -> None:
        """Tells where training begins."""
        parts = self.learner.parts
        self._job.begin()
        self._job.events.write(
            TrainingStarted(
                step=self.step,
                steps=self.learner.steps,
                epochs=self._job.config.train.epochs,
                samples=len(self._job.train_rows),
                trainable_parameters=sum(value.numel() for _name, value in parts.parameters),
            )
        )
        self._enter("training")
        parts.model.train()
        self._start_clocks()

    def arriving(self) -> Iterator[list[MicroBatch]]:
        """Micro-batches of each step to the last; of earlier ones again once training went back."""
        while self.step < self.learner.steps or self._numbers.exhausted:
            if self._numbers.exhausted:
                self._go_back()
            with closing(self.learner.steps_from(self.step)) as arriving:
                for micro_batches in arriving:
                    yield micro_batches
                    if self.step == self.learner.steps:
                        self._progress.flush()
                    if self._numbers.exhausted:
                        break

    def _go_back(self) -> None:
        """To the last good checkpoint, since too many steps in a row were not finite.

        Raises KocrError where that didn't help before.
        """
        state, path = self._saver.last_good()
        to_step = state.step if state is not None else 0
        told = self._numbers.go_back(self.step, to_step)
        self._saver.go_back_to(state, path)
        self._crew.tell(GoBack(step=to_step, checkpoint=str(path) if path is not None else None))
        self.learner.go_back(path)
        self._validator.restore(state.validation if state is not None else self._begun)
        self._progress.back_to(to_step)
        self.step, self._best = to_step, self._saver.best
        self._job.events.write(told)

    def do_step(self, micro_batches: list[MicroBatch]) -> None:
        """One optimizer step; one that was not finite before training went back is passed over."""
        if self.step + 1 in self._numbers.state.passed_over:
            self._crew.tell(PASS)
            micro_batches.clear()
            self.step += 1
            return
        arrived = time.perf_counter()
        self._crew.tell(STEP)
        said = self._crew.gather(replaced_in(micro_batches))
        if (gone := gone_in(said)) is not None:
            raise DataGoneError(gone)
        for row in said:
            path = self._job.train_rows.path
            self._job.tell_set_aside(path, row.line, row.sentence, row.taken)
        samples, rate = self.learner.rows_in(self.step), self.learner.rate(self.step)
        outcome = self.learner.learn(self.step, micro_batches)
        self.step += 1
        now = time.perf_counter()
        self._validator.trained(now - self._waited_since)
        self._progress.add(
            DoneStep(
                step=self.step,
                epoch=self.step / self.learner.steps_an_epoch,
                learning_rate=rate,
                outcome=outcome,
                samples=samples,
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
        """Saves and selects by the clock, by steps or on request, as soon as steps are finite."""
        if not self._saver.due(self.step):
            return
        started = time.perf_counter()
        # The last step's figures are heard only now.
        self._flush()
        if not self._numbers.state.in_a_row:
            if self._validator.selection_due() and not self._saver.failing:
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
        self._flush()
        self._saver.save_patiently(self._state())
        assert self._best is not None
        self._enter("validating")
        best = checkpoint.path_of(self._job.run.checkpoints, self._best.step)
        if (problem := checkpoint.verify(best)) is not None:
            raise KocrError(f"{best}, the best: {problem}; resume chooses the best anew")
        read_adapter(self.learner.parts.model, best / checkpoint.ADAPTER_FOLDER)
        self._validator.report(self._best.step, "final")

    def _select(self) -> None:
        scores, is_best = self._validator.select(
            self.step, self._best.scores if self._best else None
        )
        if is_best:
            self._best = Best(step=self.step, scores=scores)

    def save(self) -> None:
        """Saves a checkpoint; where that fails, the best is what it was in the last one."""
        self._flush()
        state = self._state()
        if self._saver.save(state):
            self._numbers.saved(state.numbers)
        self._best = self._saver.best

    def save_before(self, end: KocrError) -> None:
        """Saves since the run ends for ``end``; raises KocrError if the disk doesn't take it."""
        self._flush()
        self._saver.save_before(end, self._state())

    def _flush(self) -> None:
        self._progress.flush()
        self.learner.flush()

    def _state(self) -> TrainerState:
        return TrainerState(
            step=self.step,
            validation=self._validator.state(),
            best=self._best,
            scaler=self.learner.parts.scaler.state_dict(),
            savings=self.learner.recovery.savings,
            numbers=self._numbers.kept(self.step),
            keys=self._job.keys,
        )

    def _enter(self, state: State) -> None:
        self._job.control.enter(state)
