"""The search for the largest pixel budget: each probe, the bracket, and the choice."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.events import ProbeFinished, ProbeStarted, Setup
from kocr_tui import format as fmt
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink

BAR_COLUMNS = 12
PEAK_COLUMNS = BAR_COLUMNS + 18
VERDICT_COLUMNS = 16


class ProbesPane(VerticalScroll):
    """Rows of probes with memory against capacity, then what they lead to."""

    def __init__(self) -> None:
        super().__init__(id="probes")
        self._shown: object = None
        self._view: RunView | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="probe-rows", markup=False)
        yield Static("", id="probe-outcome", markup=False)

    def show(self, view: RunView) -> None:
        """Draws where a probe, the outcome or a shown second differs."""
        self._view = view
        state = view.state
        elapsed = int(view.now - state.probing.time) if state.probing else 0
        figures = (len(state.probes), state.probing, elapsed, state.tuned, self.size.width)
        if figures == self._shown or not self.size.width:
            return
        self._shown = figures
        room = self.content_size.width - 1
        self.query_one("#probe-rows", Static).update(ink.lines(probe_rows(view, room)))
        self.query_one("#probe-outcome", Static).update(ink.lines(outcome(view)))

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def probe_rows(view: RunView, columns: int) -> list[Content]:
    """The heading, the probes in order, and the one that runs now."""
    state = view.state
    capacity = state.worker.capacity_bytes if state.worker else 0
    rows = [_heading()]
    rows += [_finished(probe, capacity, columns) for probe in state.probes]
    if state.probing is not None:
        rows.append(_running(state.probing, view.now))
    if len(rows) == 1:
        rows.append(Content(say(f"doing.{view.live}")))
    return rows


def _heading() -> Content:
    names = ("number", "budget", "tokens", "peak", "verdict", "seconds")
    widths = (3, 12, 8, PEAK_COLUMNS, VERDICT_COLUMNS, 8)
    cells = [fmt.pad(say(f"probe.{name}"), size) for name, size in zip(names, widths, strict=True)]
    return ink.line(("".join(cells), "bold $text-muted"))


def _cells(number: int, setup: Setup) -> str:
    budget, tokens = fmt.pixels(setup.max_pixels), f"{setup.image_tokens:,}"
    return fmt.pad(str(number), 3) + fmt.pad(budget, 12) + fmt.pad(tokens, 8)


def _finished(probe: ProbeFinished, capacity: int, columns: int) -> Content:
    mark, style = ("✓ ", "bold $success") if probe.fits else ("✗ ", "bold $error")
    verdict = fmt.pad(mark + say("probe.fits" if probe.fits else "probe.not"), VERDICT_COLUMNS)
    row = ink.line(
        _cells(probe.probe, probe.setup),
        *_peak(probe.peak_bytes, capacity),
        (verdict, style),
        fmt.pad(fmt.duration(probe.seconds), 8),
    )
    reason = ("\n   " + fmt.cut(fmt.visible(probe.reason), columns - 3), "$text-muted")
    return row.append(Content.assemble(reason))


def _peak(peak: int | None, capacity: int) -> list[ink.Piece]:
    if peak is None or not capacity:
        return [(fmt.pad(say("probe.no_peak"), PEAK_COLUMNS), "$text-muted")]
    figures = f" {peak / fmt.GIB:.2f}/{capacity / fmt.GIB:.2f} GiB"
    return [
        (fmt.bar(peak / capacity, BAR_COLUMNS), "$primary"),
        fmt.pad(figures, PEAK_COLUMNS - BAR_COLUMNS),
    ]


def _running(probe: ProbeStarted, now: float) -> Content:
    elapsed = fmt.duration(max(0.0, now - probe.time))
    running = ("▶ " + say("probe.running", elapsed=elapsed), "bold $accent")
    return ink.line((_cells(probe.probe, probe.setup), "bold"), running)


def outcome(view: RunView) -> list[Content]:
    """The bracket as it closes, then the choice and its reasons."""
    state = view.state
    fits = [probe.setup.max_pixels for probe in state.probes if probe.fits]
    fails = [probe.setup.max_pixels for probe in state.probes if not probe.fits]
    rows: list[Content] = []
    if fits or fails:
        largest = fmt.pixels(max(fits)) if fits else fmt.NOTHING
        smallest = fmt.pixels(min(fails)) if fails else fmt.NOTHING
        rows.append(Content(say("probe.bracket", fits=largest, fails=smallest)))
    if (tuned := state.tuned) is not None:
        key = "probe.reused" if tuned.reused else "probe.chosen"
        rows.append(ink.line(("✓ " + say(key, setup=setup_line(tuned.choice)), "bold $success")))
        rows += [ink.line(("  · ", "$text-muted"), fmt.visible(why)) for why in tuned.why]
    return rows


def setup_line(setup: Setup) -> str:
    """A setup in one line: budget, weights, LoRA, checkpointing."""
    return say(
        "probe.setup",
        budget=fmt.pixels(setup.max_pixels),
        tokens=f"{setup.image_tokens:,}",
        weights=setup.weights,
        rank=setup.rank,
        targets=setup.targets,
        checkpointing=setup.checkpointing,
    )
