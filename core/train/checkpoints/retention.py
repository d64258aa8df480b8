"""Which checkpoints are kept."""

from collections.abc import Iterable
from pathlib import Path

from core.train.checkpoints import checkpoint

_NEWEST = 2


class Retention:
    """Keeps the newest two that are sound, the best, and the first of every ``every`` steps.

    ``every`` 0 keeps none for that. Sizes are looked at each time; hashes only of what this
    process has neither saved nor read itself. While nothing is sound nothing is deleted.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._folder = folder
        self._every = every
        self._trusted: set[str] = set()
        self._distrusted: set[str] = set()

    def trust(self, path: Path) -> None:
        """This process has saved or verified the checkpoint."""
        self._trusted.add(path.name)
        self._distrusted.discard(path.name)

    def distrust(self, step: int) -> None:
        """Checkpoints after ``step`` were passed over, whatever their hashes say."""
        later = (path for path in checkpoint.in_order(self._folder) if _step(path) > step)
        self._distrusted.update(path.name for path in later)

    def apply(self, best_step: int | None) -> None:
        """Deletes the others."""
        found = checkpoint.in_order(self._folder)
        newest = self._newest(found)
        if not newest:
            return
        kept = {*newest, *self._firsts(found)}
        if best_step is not None:
            kept.add(checkpoint.path_of(self._folder, best_step))
        for path in found:
            if path not in kept:
                checkpoint.remove(path)
                self._distrusted.discard(path.name)

    def _newest(self, found: list[Path]) -> list[Path]:
        """The newest of the newest two steps that have a sound checkpoint."""
        newest: dict[int, Path] = {}
        for path in reversed(found):
            if len(newest) == _NEWEST:
                break
            if _step(path) not in newest and self._is_sound(path):
                newest[_step(path)] = path
        return list(newest.values())

    def _is_sound(self, path: Path) -> bool:
        if path.name in self._distrusted:
            return False
        known = path.name in self._trusted
        if checkpoint.verify(path, hashes=not known) is not None:
            return False
        self._trusted.add(path.name)
        return True

    def _firsts(self, found: Iterable[Path]) -> list[Path]:
        """The first checkpoint at or after each multiple of ``every`` steps."""
        firsts: dict[int, Path] = {}
        for path in found:
            nth = _step(path) // self._every if self._every else 0
            if nth and nth not in firsts and checkpoint.verify(path, hashes=False) is None:
                firsts[nth] = path
        return list(firsts.values())


def _step(path: Path) -> int:
    return checkpoint.step_of(path)
