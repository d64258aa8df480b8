"""The list of predictions that one moves through: the newest, or the worst misses; pure."""

from collections.abc import Sequence

from core.events import Prediction


class PredictionList:
    """Predictions in the order of the screen, and a cursor that stays on the same one.

    At the top the cursor stays at the top, so that it follows what is new. ``misses`` says that
    it is the worst misses, one a photo, and not the newest.
    """

    def __init__(self) -> None:
        self.shown: list[Prediction] = []
        self.cursor = 0
        self.misses = False
        self._kept: Sequence[Prediction] = ()

    def take(self, kept: Sequence[Prediction]) -> None:
        """Takes the predictions that are kept, in the order in which they were made."""
        self._kept = kept
        chosen = self.shown[self.cursor] if self.cursor else None
        self.shown = worst_misses(kept) if self.misses else list(reversed(kept))
        found = (at for at, one in enumerate(self.shown) if one is chosen)
        self.cursor = next(found, min(self.cursor, max(0, len(self.shown) - 1)))

    def switch(self) -> None:
        """From the newest to the misses or back, to the top."""
        self.misses = not self.misses
        self.cursor = 0
        self.take(self._kept)

    def move(self, by: int) -> None:
        """Moves the cursor, at most to the first or the last."""
        self.cursor = max(0, min(len(self.shown) - 1, self.cursor + by))


def worst_misses(kept: Sequence[Prediction]) -> list[Prediction]:
    """What was not read as it is, the least similar first; of each row the newest prediction."""
    newest = {one.row: one for one in kept}
    missed = [one for one in newest.values() if not one.exact]
    return sorted(missed, key=lambda one: (one.similarity, one.row))
