"""``evaluate --page FILE``: predictions as one HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import KocrError
from core.evaluate.page.numbers import file_size
from core.evaluate.page.sets import NamedSet
from core.evaluate.page.write import write_page
from core.evaluate.predictions import Header, ReadRow
from kocr_tui.plain.progress import progress_line
from kocr_tui.strings import language, say

Sets = Mapping[str, tuple[Header | None, Sequence[ReadRow]]]


def write(page: Path, sets: Sets, root: str | None = None) -> str:
    """Writes the page of scored rows by what they are called; returns the line that says so.

    Photos that lead out of ``root`` (a real path), if there is one, are not shown. Raises
    UsageError where sets are not of the same rows, KocrError where the page can't be written.
    """
    named = [
        NamedSet(name, rows, header)
        for name, (header, rows) in zip(short_names(list(sets)), sets.values(), strict=True)
    ]
    try:
        with progress_line(say("page.progress")) as tell:
            written = write_page(page, named, language(), root=root, tell=tell)
    except OSError as error:
        raise KocrError(f"{page}: can't be written: {error.strerror}") from error
    return say(
        "page.written",
        path=page,
        size=file_size(written.size_bytes),
        shown=f"{written.shown:,}",
        n=f"{written.worth_showing:,}",
    )


def short_names(names: Sequence[str]) -> list[str]:
    """Names of files without folder and ending, as long as those are still told apart."""
    stems = [Path(name).stem if name.endswith(".jsonl") else name for name in names]
    return stems if len(set(stems)) == len(stems) else list(names)
