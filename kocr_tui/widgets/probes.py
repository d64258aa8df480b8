"""The probes, one a row: what was predicted, what was measured, and whether it fits."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from core.events import ProbeFinished, ProbeStarted, Setup
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import checkpointing_name
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.bracket import bracket_of, bracket_rows
from kocr_tui.widgets.paragraph import Paragraph

COLUMNS = {
    "number": 3,
    "budget": 10,
    "tokens": 7,
    "setup": 14,
    "predicted": 10,
    "peak": 10,
    "verdict": 17,
    "seconds": 6,
}
_RIGHT = {"tokens", "predicted", "peak"}
_LEAST_REASON = 24
# What is left out first where there is no room for all.
_SPARED = ("tokens", "predicted", "setup")


class ProbesPane(Vertical):
    """The rows, of which only the one that runs is drawn every second, then the bracket."""

    def __init__(self) -> None:
        super().__init__(id="probes", classes="pane")
        self.border_title = say("tuning.probes")
        self._shown: object = None
        self._elapsed: object = None
        self._view: RunView | None = None

    def compose(self) -> ComposeResult:
        yield Paragraph("", id="probe-heading", markup=False)
        with VerticalScroll(id="probe-list", can_focus=False):
            yield Paragraph("", id="probe-rows", markup=False)
            yield Paragraph("", id="probe-running", markup=False)
        yield Paragraph("", id="probe-bracket", markup=False)

    def show(self, view: RunView) -> None:
        """Draws where a probe or a shown second differs; takes no room before the first probe."""
        self._view = view
        state = view.state
        self.display = bool(state.probes or state.probing)
        room = self.content_size.width
        if not room:
            return
        self._show_running(view, room)
        figures = (tuple(state.probes), state.probing, room)
        if figures != self._shown:
            self._shown = figures
            self.query_one("#probe-heading", Paragraph).update(heading(room))
            rows = self.query_one("#probe-rows", Paragraph)
            rows.display = bool(state.probes)
            rows.update(ink.lines(finished_rows(state.probes, room)))
            bracket = bracket_of(state)
            drawn = bracket_rows(bracket, room) if bracket else []
            self.query_one("#probe-bracket", Paragraph).update(ink.lines(drawn))
            self.query_one("#probe-list").scroll_end(animate=False)

    def _show_running(self, view: RunView, room: int) -> None:
        probing = view.state.probing
        elapsed = (probing, int(view.now - probing.time) if probing else 0, room)
        if elapsed != self._elapsed:
            self._elapsed = elapsed
            row = self.query_one("#probe-running", Paragraph)
            row.display = probing is not None
            row.update(running_row(probing, view.now, room) if probing else "")

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def columns_within(room: int) -> dict[str, int]:
    """The columns that there is room for, and their widths."""
    widths = dict(COLUMNS)
    for name in _SPARED:
        if sum(widths.values()) > room:
            del widths[name]
    return widths


def heading(room: int) -> Content:
    """The columns' names."""
    cells = [_cell(name, say(f"probe.{name}")) for name in columns_within(room)]
    return ink.line(("".join(cells).rstrip(), "bold $secondary"))


def finished_rows(probes: Sequence[ProbeFinished], columns: int) -> list[Content]:
    """The probes in order; the reason beside a row where there is room, or below where it's odd."""
    room = columns - sum(columns_within(columns).values())
    rows: list[Content] = []
    for probe in probes:
        row = finished_row(probe, columns)
        if room >= _LEAST_REASON:
            rows.append(row.append(ink.line((fmt.cut(f"  {reason(probe)}", room), "$secondary"))))
            continue
        rows.append(row)
        if not probe.fits and probe.verdict != "out-of-memory":
            rows.append(ink.line((fmt.cut(f"   {reason(probe)}", columns), "$secondary")))
    return rows


def finished_row(probe: ProbeFinished, columns: int) -> Content:
    """``2  6.42 MP  8,192  bf16 all  ~21.70  21.20  ✓ fits  31s``."""
    mark, style = ("✓ ", "bold $success") if probe.fits else ("✗ ", "bold $error")
    fallback = "probe.fits" if probe.fits else "probe.not"
    name = say(f"verdict.{probe.verdict}" if probe.verdict else fallback)
    return ink.line(
        _of_setup(probe.probe, probe.setup, columns),
        _cell("peak", fmt.size(probe.peak_bytes)),
        (_cell("verdict", "  " + mark + name), style),
        fmt.pad(fmt.duration(probe.seconds), COLUMNS["seconds"]),
    )


def running_row(probe: ProbeStarted, now: float, columns: int) -> Content:
    """The probe that runs now, with the seconds so far."""
    elapsed = fmt.duration(max(0.0, now - probe.time))
    running = say("probe.running", elapsed=elapsed)
    left = _of_setup(probe.probe, probe.setup, columns) + _cell("peak", "…")
    return ink.line((left, "bold"), (f"  ▶ {running}", "bold $accent"))


def reason(probe: ProbeFinished) -> str:
    """Why, in the language in use where the engine says which of its reasons it is."""
    if probe.verdict is None:
        return fmt.visible(probe.reason)
    return say(
        f"reason.{probe.verdict}",
        peak=fmt.size(probe.peak_bytes),
        limit=fmt.size(probe.limit_bytes),
        elapsed=fmt.duration(probe.seconds),
    )


def _of_setup(number: int, setup: Setup, columns: int) -> str:
    predicted = setup.predicted_gib
    figures = {
        "number": str(number),
        "budget": fmt.pixels(setup.max_pixels),
        "tokens": f"{setup.image_tokens:,}",
        "setup": "  " + setup_name(setup),
        "predicted": fmt.NOTHING if predicted is None else "~" + _bare(predicted * fmt.GIB),
    }
    shown = columns_within(columns)
    return "".join(_cell(name, text) for name, text in figures.items() if name in shown)


def _bare(size: float) -> str:
    """A size without its unit, which the figure beside it has."""
    return fmt.size(size).split(" ")[0]


def setup_name(setup: Setup) -> str:
    """Weights and checkpointing: ``bf16 1 in 4``."""
    return fmt.visible(f"{setup.weights} {checkpointing_name(setup.checkpointing)}")


def _cell(name: str, text: str) -> str:
    pad = fmt.pad_left if name in _RIGHT else fmt.pad
    return pad(text, COLUMNS[name])
