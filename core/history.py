"""The steps of a run in bounded memory, the same whenever and however often they are read."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.events import Step

KEPT_STEPS = 4096
Item = TypeVar("Item")


@dataclass
class History:
    """At most KEPT_STEPS steps in order: of each ``width`` steps in a row the last one.

    ``width`` is a power of two, and the groups begin at step 1, so that two readers of one run
    keep the same steps. ``losses`` has the mean loss of each group.
    """

    width: int = 1
    steps: list[Step] = field(default_factory=list)
    _sums: list[float] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Takes the next step."""
        loss, counted = (step.loss, 1) if math.isfinite(step.loss) else (0.0, 0)
        if self.steps and self._group(step) == self._group(self.steps[-1]):
            self.steps[-1] = step
            self._sums[-1] += loss
            self._counts[-1] += counted
            return
        self.steps.append(step)
        self._sums.append(loss)
        self._counts.append(counted)
        if len(self.steps) > KEPT_STEPS:
            self._halve()

    def back_to(self, step: int) -> None:
        """Forgets the steps after ``step``, since they are done again."""
        while self.steps and self.steps[-1].step > step:
            self.steps.pop()
            self._sums.pop()
            self._counts.pop()

    def losses(self) -> Iterator[tuple[int, float]]:
        """(last step, mean of the finite losses) of every group that has one."""
        for step, total, count in zip(self.steps, self._sums, self._counts, strict=True):
            if count:
                yield step.step, total / count

    def _group(self, step: Step) -> int:
        return (step.step - 1) // self.width

    def _halve(self) -> None:
        steps, sums, counts = self.steps, self._sums, self._counts
        self.width *= 2
        self.steps, self._sums, self._counts = [], [], []
        for step, total, count in zip(steps, sums, counts, strict=True):
            if self.steps and self._group(step) == self._group(self.steps[-1]):
                self.steps[-1] = step
                self._sums[-1] += total
                self._counts[-1] += count
            else:
                self.steps.append(step)
                self._sums.append(total)
                self._counts.append(count)


@dataclass
class Thinned(Generic[Item]):
    """A long row of items in bounded memory: every ``stride``-th of them, and the newest.

    Which are kept depends on the order alone, so that two readers of one run keep the same.
    """

    most: int
    stride: int = 1
    items: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pending = 0

    def add(self, item: Item) -> None:
        """Takes the next item."""
        if self._pending:
            self.items[-1] = item
        else:
            self.items.append(item)
        self._pending = (self._pending + 1) % self.stride
        if not self._pending and len(self.items) >= self.most and len(self.items) % 2 == 0:
            self.items = self.items[1::2]
            self.stride *= 2

    def keep(self, wanted: Callable[[Item], bool]) -> None:
        """Forgets the items that aren't wanted any more."""
        self.items = [item for item in self.items if wanted(item)]
        self._pending = 0
