"""Step by step figures for people: loss, speed, where the time went, memory, time left."""

import math
from dataclasses import dataclass

from core.event_log import EventWriter
from core.events import LossSpike, Step
from core.model.flops import StepFlops
from core.train.numbers import NumberWatch
from core.train.spikes import SpikeWatch
from core.train.step import StepOutcome

_SMOOTHING = 0.1


@dataclass(frozen=True)
class DoneStep:
    """A finished step whose figures are still on the device.

    Times are seconds: ``data_s`` the wait for the loader, ``wall_s`` since the step before ended,
    ``validation_s`` and ``checkpoint_s`` parts of it. ``samples`` are those of all processes;
    ``used_bytes`` and ``peak_bytes`` the device's memory after the step and at its highest.
    """

    step: int
    epoch: float
    learning_rate: float
    outcome: StepOutcome
    samples: int
    data_s: float
    wall_s: float
    validation_s: float
    checkpoint_s: float
    used_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Speed:
    """How operations are counted, and the device's peak (operations a second) where it's known."""

    flops: StepFlops
    peak: float | None

    def utilisation(self, outcome: StepOutcome, seconds: float) -> float | None:
        """Model-FLOPs utilisation of a step that took ``seconds``."""
        if self.peak is None or seconds <= 0:
            return None
        return self.flops(outcome.work) / seconds / self.peak


class Progress:
    """Writes a Step event for each step, one step late, so that no step waits for its figures.

    ``numbers`` hears of every step; one that isn't finite counts for the speed alone.
    """

    def __init__(
        self,
        events: EventWriter,
        limit_bytes: int,
        steps: int,
        speed: Speed,
        numbers: NumberWatch,
    ) -> None:
        self._events = events
        self._numbers = numbers
        self._spikes = SpikeWatch()
        self._limit_bytes = limit_bytes
        self._steps = steps
        self._speed = speed
        self._pending: DoneStep | None = None
        self._seconds_a_sample: float | None = None
        self._seconds_a_step: float | None = None

    def add(self, done: DoneStep) -> None:
        """Takes a finished step and writes the one before it."""
        self.flush()
        self._pending = done

    def flush(self) -> None:
        """Writes what is pending."""
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        self._smooth(done)
        loss, grad_norm = done.outcome.loss.item(), float(done.outcome.grad_norm)
        if not self._numbers.hear(done.step, loss, grad_norm, scaled=done.outcome.scaled):
            return
        self._events.write(self._event(done, loss, grad_norm))
        usual = self._spikes.hear(done.step, loss)
        if usual is not None:
            self._events.write(LossSpike(step=done.step, loss=loss, usual=usual))

    def back_to(self, step: int) -> None:
        """Forgets what is pending, since the steps after ``step`` are done again."""
        self._pending = None
        self._spikes.back_to(step)

    def _smooth(self, done: DoneStep) -> None:
        self._seconds_a_step = _smoothed(self._seconds_a_step, done.wall_s)
        self._seconds_a_sample = _smoothed(self._seconds_a_sample, done.wall_s / done.samples)

    def _event(self, done: DoneStep, loss: float, grad_norm: float) -> Step:
        assert self._seconds_a_step is not None
        assert self._seconds_a_sample is not None
        outcome = done.outcome
        spent = outcome.milliseconds()
        # The split is this process's, and so are the samples that it is shared among.
        mine = max(1, outcome.samples)
        busy = done.wall_s - done.validation_s - done.checkpoint_s
        skipped = not math.isfinite(grad_norm)
        return Step(
            step=done.step,
            epoch=done.epoch,
            loss=loss,
            learning_rate=done.learning_rate,
            grad_norm=0.0 if skipped else grad_norm,
            samples=done.samples,
            label_tokens=outcome.label_tokens,
            samples_per_s=1 / self._seconds_a_sample,
            eta_s=self._seconds_a_step * (self._steps - done.step),
            data_ms=done.data_s * 1000 / mine,
            vision_ms=spent.vision / mine,
            forward_ms=spent.forward / mine,
            backward_ms=spent.backward / mine,
            optimizer_ms=spent.optimizer / mine,
            validation_ms=done.validation_s * 1000 / mine,
            checkpoint_ms=done.checkpoint_s * 1000 / mine,
            tokens=outcome.work.tokens,
            tokens_per_s=outcome.work.tokens / busy if busy > 0 else 0.0,
            utilisation=self._speed.utilisation(outcome, busy),
            skipped=skipped,
            used_bytes=done.used_bytes,
            peak_bytes=done.peak_bytes,
            limit_bytes=self._limit_bytes,
        )


def _smoothed(before: float | None, value: float) -> float:
    return value if before is None else before + _SMOOTHING * (value - before)
