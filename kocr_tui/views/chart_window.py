"""Which steps the charts show: pure arithmetic of zooming and moving, shared by all charts."""

from dataclasses import dataclass
from typing import Self

SHORTEST_STEPS = 10.0
ZOOM = 2.0
MOVED_SHARE = 0.25
WHOLE_SHARE = 0.9


@dataclass(frozen=True)
class ChartWindow:
    """All steps from 0 on, or ``length`` steps up to ``end``.

    Without a ``length`` it is the whole run; without an ``end`` it follows the newest step.
    """

    length: float | None = None
    end: float | None = None

    def span(self, last: float) -> tuple[float, float]:
        """First and last step to show of a run that is at step ``last``."""
        last = max(2.0, last)
        if self.length is None or self.length >= last:
            return 0.0, last
        end = last if self.end is None else min(last, max(self.length, self.end))
        return end - self.length, end

    def zoomed_in(self, last: float) -> Self:
        """Half as many steps: the newest where it follows them, else those in the middle."""
        return self._resized(last, 1 / ZOOM)

    def zoomed_out(self, last: float) -> Self:
        """Twice as many steps; all of them where that is nearly so."""
        wider = self._resized(last, ZOOM)
        nearly = wider.length is not None and wider.length >= WHOLE_SHARE * last
        return type(self)() if nearly else wider

    def earlier(self, last: float) -> Self:
        """A quarter of the window to the left, at most to the first step."""
        start, end = self.span(last)
        return self._at(last, end - start, end - (end - start) * MOVED_SHARE)

    def later(self, last: float) -> Self:
        """A quarter of the window to the right; at the newest step it follows new ones."""
        start, end = self.span(last)
        return self._at(last, end - start, end + (end - start) * MOVED_SHARE)

    def _resized(self, last: float, factor: float) -> Self:
        start, end = self.span(last)
        length = max(SHORTEST_STEPS, (end - start) * factor)
        follows = self.length is None or self.end is None
        return self._at(last, length, last if follows else (start + end + length) / 2)

    def _at(self, last: float, length: float, end: float) -> Self:
        if length >= last:
            return type(self)()
        return type(self)(length, None if end >= last else max(length, end))
