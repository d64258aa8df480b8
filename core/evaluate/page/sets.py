"""Sets of predictions as the page takes them: each row beside the same one of the other sets."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.evaluate.compare import TOLD, Change, Comparison, compare
from core.evaluate.predictions import Header, ReadRow
from core.evaluate.summary import Summary, measures_of, summarize

Beside = tuple[ReadRow, ...]


@dataclass(frozen=True)
class NamedSet:
    """Scored rows under a name that no other set has; ``header`` tells what read them."""

    name: str
    rows: Sequence[ReadRow]
    header: Header | None = None


@dataclass(frozen=True)
class Joined:
    """All sets: ``rows`` are worst first, each with that row of every set.

    ``comparison`` is None for a single set.
    """

    sets: Sequence[NamedSet]
    summaries: Sequence[Summary]
    comparison: Comparison | None
    rows: Sequence[Beside]

    @property
    def names(self) -> list[str]:
        """The names of the sets."""
        return [each.name for each in self.sets]

    def missed(self) -> list[Beside]:
        """Rows that no set has right; with a single set those with case or spacing wrong, too."""
        measure = TOLD if self.comparison else "exact"
        return [
            beside
            for beside in self.rows
            if not any(getattr(measures_of(row), measure) for row in beside)
        ]

    def changed(self, changes: Sequence[Change]) -> list[Beside]:
        """The rows of these changes."""
        wanted = {(change.id, change.row) for change in changes}
        return [beside for beside in self.rows if (beside[0].id, beside[0].row) in wanted]


def join(sets: Sequence[NamedSet]) -> Joined:
    """Sums every set up and brings their rows together.

    Raises UsageError where sets are not of the same rows, ValueError where rows aren't scored or
    two sets have a name.
    """
    if len({each.name for each in sets}) < len(sets):
        raise ValueError("two sets of predictions have the same name")
    comparison = compare({each.name: each.rows for each in sets}) if len(sets) > 1 else None
    # The same content several times over is told apart by its order, as in `compare`.
    ordered = (sorted(each.rows, key=lambda row: (row.id, row.row)) for each in sets)
    rows = sorted(zip(*ordered, strict=True), key=_likeness)
    return Joined(sets, [summarize(each.rows) for each in sets], comparison, rows)


def _likeness(beside: Beside) -> tuple[float, int]:
    return sum(measures_of(row).similarity for row in beside), beside[0].row
