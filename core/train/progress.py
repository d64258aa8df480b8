"""Step by step figures for people: loss, speed, where the time went, memory, time left."""

import math
from dataclasses import dataclass

from core.errors import KocrError
from core.event_log import EventWriter
from core.events import Step
from core.train.step import StepOutcome

_SMOOTHING = 0.1


@dataclass(frozen=True)
class DoneStep:
    """A finished step whose figures are still on the device.

    ``data_s`` is the wait for the loader, ``wall_s`` the time since the step before ended;
    ``used_bytes`` and ``peak_bytes`` are the device's memory after it and at its highest.
    """

    step: int
    epoch: float
    learning_rate: float
    outcome: StepOutcome
    data_s: float
    wall_s: float
    used_bytes: int
    peak_bytes: int


class Progress:
    """Writes a Step event for each step, one step late, so that no step waits for its figures."""

    def __init__(self, events: EventWriter, limit_bytes: int, steps: int) -> None:
        self._events = events
        self._limit_bytes = limit_bytes
        self._steps = steps
        self._pending: DoneStep | None = None
        self._seconds_a_sample: float | None = None
        self._seconds_a_step: float | None = None

    def add(self, done: DoneStep) -> None:
        """Takes a finished step and writes the one before it."""
        self.flush()
        self._pending = done

    def flush(self) -> None:
        """Writes what is pending; raises KocrError if its loss or gradient is not finite."""
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        self._smooth(done)
        event = self._event(done)
        if not (math.isfinite(event.loss) and math.isfinite(event.grad_norm)):
            raise KocrError(
                f"step {done.step}: loss {event.loss} and gradient norm {event.grad_norm} are not "
                "finite; resume goes back to the last checkpoint; lower train.learning_rate"
            )
        self._events.write(event)

    def _smooth(self, done: DoneStep) -> None:
        self._seconds_a_step = _smoothed(self._seconds_a_step, done.wall_s)
        self._seconds_a_sample = _smoothed(
            self._seconds_a_sample, done.wall_s / done.outcome.samples
        )

    def _event(self, done: DoneStep) -> Step:
        assert self._seconds_a_step is not None
        assert self._seconds_a_sample is not None
        outcome = done.outcome
        vision_ms, language_ms, optimizer_ms = outcome.milliseconds()
        return Step(
            step=done.step,
            epoch=done.epoch,
            loss=outcome.loss.item(),
            learning_rate=done.learning_rate,
            grad_norm=float(outcome.grad_norm),
            samples=outcome.samples,
            label_tokens=outcome.label_tokens,
            samples_per_s=1 / self._seconds_a_sample,
            eta_s=self._seconds_a_step * (self._steps - done.step),
            data_ms=done.data_s * 1000 / outcome.samples,
            vision_ms=vision_ms / outcome.samples,
            language_ms=language_ms / outcome.samples,
            optimizer_ms=optimizer_ms / outcome.samples,
            used_bytes=done.used_bytes,
            peak_bytes=done.peak_bytes,
            limit_bytes=self._limit_bytes,
        )


def _smoothed(before: float | None, value: float) -> float:
    return value if before is None else before + _SMOOTHING * (value - before)
