"""Which checkpoints are kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import step_of
from core.train.checkpoints.manifest import UnreadableError

_NEWEST = 2


class Retention:
    """Keeps the newest two that are sound, the newest of a good step, and the best of each.

    And for good the first of every ``every`` steps; 0 keeps none for that. Sizes are looked at each
    time; hashes only of what this process has neither saved nor read itself. What can't be read
    stays, and while nothing is sound nothing is deleted.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._folder = folder
        self._every = every
        self._trusted: set[str] = set()
        self._unreadable: set[Path] = set()

    def trust(self, path: Path) -> None:
        """This process has saved or verified the checkpoint."""
        self._trusted.add(path.name)

    def apply(self, step: int) -> None:
        """Deletes the others of those up to ``step``, where training stands.

        Later ones, which a resume has passed over, are deleted only where they are damaged.
        """
        self._unreadable.clear()
        found = checkpoint.in_order(self._folder)
        mine = [path for path in found if step_of(path) <= step]
        kept = {*self._newest(mine), *self._newest_good(mine)}
        if not kept:
            return
        kept.update(self._firsts(mine))
        kept.update([best for path in kept for best in self._best_of(path)])
        kept.update(path for path in found if step_of(path) > step and self._is_sound(path))
        for path in found:
            if path not in kept and path not in self._unreadable:
                checkpoint.remove(path)

    def _newest(self, found: list[Path]) -> list[Path]:
        """The newest of the newest two steps that have a sound checkpoint."""
        newest: dict[int, Path] = {}
        for path in reversed(found):
            if len(newest) == _NEWEST:
                break
            if step_of(path) not in newest and self._is_sound(path):
                newest[step_of(path)] = path
        return list(newest.values())

    def _newest_good(self, found: list[Path]) -> Iterator[Path]:
        """The newest that training can go back to when its numbers are no longer finite."""
        for path in reversed(found):
            if self._is_sound(path) and not checkpoint.read_state(path).numbers.in_a_row:
                yield path
                return

    def _best_of(self, path: Path) -> Iterator[Path]:
        best = checkpoint.read_state(path).best
        if best is not None:
            yield checkpoint.path_of(self._folder, best.step)

    def _firsts(self, found: Iterable[Path]) -> list[Path]:
        """The first sound checkpoint at or after each multiple of ``every`` steps."""
        firsts: dict[int, Path] = {}
        for path in found:
            nth = step_of(path) // self._every if self._every else 0
            if nth and nth not in firsts and self._is_sound(path):
                firsts[nth] = path
        return list(firsts.values())

    def _is_sound(self, path: Path) -> bool:
        try:
            checkpoint.check(path, hashes=path.name not in self._trusted)
        except UnreadableError:
            self._unreadable.add(path)
            return False
        except ValueError:
            return False
        self._trusted.add(path.name)
        return True
