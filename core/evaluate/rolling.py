"""Validation while training goes on: a rolling window of scores, and a bound on its time."""

from collections import deque

import msgspec

from core.evaluate.text import RowScore, Scores


class TimeShare:
    """Lets validation take at most ``share`` of the time that training has taken (seconds)."""

    def __init__(self, share: float, trained_s: float = 0.0, spent_s: float = 0.0) -> None:
        self.share = share
        self.trained_s = trained_s
        self.spent_s = spent_s

    def allows(self, seconds: float) -> bool:
        """Whether validation that takes ``seconds`` stays within the share."""
        return self.spent_s + seconds <= self.share * self.trained_s

    @property
    def taken(self) -> float:
        """The share taken so far, a fraction of training time."""
        return self.spent_s / self.trained_s if self.trained_s else 0.0


class RollingState(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of a rolling window."""

    position: int
    scores: tuple[RowScore, ...]


class RollingScores:
    """The newest ``window`` row scores, and the place in the endless round of validation rows."""

    def __init__(self, rows: int, window: int, state: RollingState | None = None) -> None:
        self._rows = rows
        self.position = state.position if state else 0
        self._scores: deque[RowScore] = deque(state.scores if state else (), maxlen=window)

    def next_rows(self, count: int) -> list[int]:
        """The places (0 to rows - 1) to read next; the round begins anew at its end."""
        count = min(count, self._rows)
        return [(self.position + step) % self._rows for step in range(count)]

    def add(self, scores: list[RowScore]) -> None:
        """Takes the scores of the rows that ``next_rows`` gave."""
        self.position = (self.position + len(scores)) % self._rows
        self._scores.extend(scores)

    def scores(self) -> Scores:
        """Scores over the window."""
        return Scores.of(self._scores)

    def state(self) -> RollingState:
        """What a checkpoint has to keep."""
        return RollingState(position=self.position, scores=tuple(self._scores))
