"""A loss that jumps far above what it was: told, and nothing else done."""

import statistics
from collections import deque

WINDOW = 50
LEAST = 20
QUIET_STEPS = 50
_DEVIATIONS = 5.0
_TIMES = 2.0


class SpikeWatch:
    """Hears the finite losses in order and finds those far above the last WINDOW of them.

    Far is more than 5 standard deviations above their mean and at least twice it. Nothing is found
    before LEAST losses were heard, nor in the QUIET_STEPS after a spike.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._quiet_until = 0

    def hear(self, step: int, loss: float) -> float | None:
        """The usual loss (mean of those before) if that of step ``step`` is a spike, else None."""
        usual = self._usual(loss) if step > self._quiet_until else None
        if usual is not None:
            self._quiet_until = step + QUIET_STEPS
        self._losses.append(loss)
        return usual

    def back_to(self, step: int) -> None:
        """Steps after ``step`` are done again."""
        self._losses.clear()
        self._quiet_until = min(self._quiet_until, step)

    def _usual(self, loss: float) -> float | None:
        if len(self._losses) < LEAST:
            return None
        mean = statistics.fmean(self._losses)
        far = mean + _DEVIATIONS * statistics.pstdev(self._losses, mean)
        return mean if loss > far and loss >= _TIMES * mean else None
