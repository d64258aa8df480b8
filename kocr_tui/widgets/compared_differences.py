"""The table of settings that differ between runs: a key a row, a value in each run."""

from collections.abc import Sequence

from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.comparison import LETTERS, Compared, Difference, differences
from kocr_tui.widgets import ink
from kocr_tui.widgets.compared_chart import COLOURS

GAP = 2
MOST_VALUE_COLUMNS = 26


def difference_lines(runs: Sequence[Compared], columns: int) -> list[Content]:
    """The table, or that there is no difference."""
    found = differences(runs)
    title = say("compare.differences")
    if not found:
        readable = sum(run.config is not None for run in runs)
        nothing = say("compare.no_difference" if readable > 1 else "compare.no_settings")
        return [ink.line((title, "bold $primary")), Content("  " + nothing)]
    key_columns = max(fmt.width(title), *(fmt.width(one.key) for one in found)) + GAP
    value_columns = min(MOST_VALUE_COLUMNS, (columns - key_columns) // len(runs))
    heads: list[ink.Piece] = [
        (fmt.pad(LETTERS[index], value_columns), f"bold ${COLOURS[index]}")
        for index in range(len(runs))
    ]
    lines = [ink.line((fmt.pad(title, key_columns), "bold $primary"), *heads)]
    for one in found:
        lines += _row(one, key_columns, value_columns, columns)
    return lines


def _row(one: Difference, key_columns: int, value_columns: int, columns: int) -> list[Content]:
    """One line where the values fit their columns, else the key and a line a run below it."""
    key = (fmt.pad(one.key, key_columns), "$text-muted")
    if all(fmt.width(value) + GAP <= value_columns for value in one.values):
        return [ink.line(key, *(fmt.pad(value, value_columns) for value in one.values))]
    return [
        ink.line(key),
        *(
            ink.line(
                (f"  {LETTERS[index]} ", f"bold ${COLOURS[index]}"), cut_start(value, columns - 4)
            )
            for index, value in enumerate(one.values)
        ),
    ]


def cut_start(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns without its start, since paths differ at the end."""
    if fmt.width(text) <= columns:
        return text
    kept = text
    while kept and fmt.width(kept) > columns - 1:
        kept = kept[1:]
    return "…" + kept
