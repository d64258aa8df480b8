"""Which rows are read side by side."""

from collections.abc import Callable, Sequence

from core.evaluate.labels import LabelledRow
from core.read.reader import Photo

Batches = list[list[LabelledRow]]


def batches_of(
    rows: Sequence[LabelledRow], at_a_time: int, tokens: Callable[[Photo], int]
) -> Batches:
    """All rows in batches, the longest first, so that what is side by side is about as long.

    By image tokens, then by text (a reply is often about as long as the label), then by line; rows
    that can't be read come last.
    """

    def longest_first(row: LabelledRow) -> tuple[bool, int, int, int]:
        text = len((row.prompt + row.truth).encode())
        return row.why is not None, -tokens(photo_of(row, None)), -text, row.line

    ordered = sorted(rows, key=longest_first)
    return [ordered[start : start + at_a_time] for start in range(0, len(ordered), at_a_time)]


def photo_of(row: LabelledRow, root: str | None) -> Photo:
    """What a reader is given of a row; its photo may not lead out of ``root`` (a real path)."""
    return Photo(row.image, row.prompt, row.size, root)
