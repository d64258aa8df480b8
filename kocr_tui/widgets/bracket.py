"""Between which pixel budgets the largest that fits lies: a number line, and the same in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from core.events import ProbeFinished, Setup
from core.run_state import RunState
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.widgets import ink

_MOST_COLUMNS = 100


@dataclass(frozen=True)
class Bracket:
    """Pixel budgets: the largest that fits, the smallest above it that does not, the one tried now.

    ``most`` is the end of the number line.
    """

    fits: int | None
    fails: int | None
    running: int | None
    most: int


def bracket_of(state: RunState) -> Bracket | None:
    """The bracket of the setup that was probed last; None before the first probe."""
    probed = state.probing or (state.probes[-1] if state.probes else None)
    if probed is None:
        return None
    same = [probe for probe in state.probes if _same(probe.setup, probed.setup)]
    fits = max((_pixels(probe) for probe in same if probe.fits), default=None)
    above = [_pixels(probe) for probe in same if not probe.fits and _pixels(probe) > (fits or 0)]
    running = state.probing.setup.max_pixels if state.probing else None
    return Bracket(fits, min(above, default=None), running, _most(same, running))


def _most(probes: Sequence[ProbeFinished], running: int | None) -> int:
    return max([running or 1, *(_pixels(probe) for probe in probes)])


def _same(one: Setup, other: Setup) -> bool:
    return (one.weights, one.checkpointing) == (other.weights, other.checkpointing)


def _pixels(probe: ProbeFinished) -> int:
    return probe.setup.max_pixels


def bracket_rows(bracket: Bracket, columns: int) -> list[Content]:
    """The number line and the words."""
    fits = fmt.NOTHING if bracket.fits is None else fmt.pixels(bracket.fits)
    fails = fmt.NOTHING if bracket.fails is None else fmt.pixels(bracket.fails)
    words = say("probe.bracket", fits=fits, fails=fails)
    return [number_line(bracket, min(columns, _MOST_COLUMNS)), Content(fmt.cut(words, columns))]


def number_line(bracket: Bracket, columns: int) -> Content:
    """``0 ├══════✓───▶───✗╌╌╌╌┤ 12.19 MP``: proved, open, and out of reach."""
    left, right = "0 ├", f"┤ {fmt.pixels(bracket.most)}"
    room = max(3, columns - fmt.width(left) - fmt.width(right))

    def place(pixels: int | None, missing: int) -> int:
        return missing if pixels is None else round(pixels / bracket.most * (room - 1))

    fits, fails = place(bracket.fits, -1), place(bracket.fails, room)
    # Two that share a column are drawn beside each other, the one that fits on the left.
    fits = min(fits, fails - 1, room - 1)
    cells: list[ink.Piece] = [_cell(at, fits, fails) for at in range(room)]
    if bracket.running is not None:
        cells[place(bracket.running, 0)] = ("▶", "bold $accent")
    return ink.line((left, "$secondary"), *cells, (right, "$secondary"))


def _cell(at: int, fits: int, fails: int) -> ink.Piece:
    if at == fits:
        return ("✓", "bold $success")
    if at == fails:
        return ("✗", "bold $error")
    if at < fits:
        return ("═", "$success")
    return ("─", "$foreground") if at < fails else ("╌", "$error")
