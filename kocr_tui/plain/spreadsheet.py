"""Tables that a spreadsheet opens with Hangul intact and runs nothing of."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[str]], None]]:
    """Writes a CSV file row by row, each on the disk's side once it was given."""
    # Excel takes UTF-8 for something else unless the file begins with a byte order mark.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)

        def write(cells: Sequence[str]) -> None:
            rows.writerow([cell(text) for text in cells])
            file.flush()

        yield write


def cell(text: str) -> str:
    """What would be run as a formula begins with an apostrophe; what is no Unicode is escaped."""
    written = text.encode("utf-8", "backslashreplace").decode()
    return f"'{written}" if written.startswith(_FORMULA) else written
