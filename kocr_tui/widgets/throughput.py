"""How fast it goes, when it ends, and where the time of a sample goes."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from core.events import FINAL_STATES, Step
from kocr_tui import format as fmt
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.pane import Pane

PARTS: tuple[tuple[str, str, str], ...] = (
    ("data", "█", "$primary"),
    ("vision", "▓", "$accent"),
    ("language", "▒", "$success"),
    ("optimizer", "░", "$secondary"),
)


class ThroughputPane(Pane):
    """Samples a second and ETA; below, one bar split by part, and its legend."""

    number = 2
    title_key = "speed.title"

    def compose(self) -> ComposeResult:
        yield Static(say("pane.waiting"), id="speed-figures", markup=False)

    def figures(self, view: RunView) -> object:
        last = view.state.steps[-1] if view.state.steps else None
        return last, view.live

    def draw(self, view: RunView) -> None:
        self.set_title(say("speed.per_sample"))
        if not view.state.steps:
            self.query_one("#speed-figures", Static).update(say("pane.waiting"))
            return
        last = view.state.steps[-1]
        room = self.content_size.width
        rows = [pace(last, view), split_bar(last, room), split_legend(last, room)]
        self.query_one("#speed-figures", Static).update(ink.lines(rows))


def pace(step: Step, view: RunView) -> Content:
    """``12.3 samples/s   ETA 1h 02m → 21:42``; no ETA for a run that has ended or rests."""
    speed = (fmt.rate(step.samples_per_s), "bold")
    if view.live in FINAL_STATES:
        return ink.line(speed, " " + say("speed.samples"))
    if view.live == "paused":
        return ink.line(speed, " " + say("speed.samples"), "   ", (say("state.paused"), "bold"))
    end = fmt.clock_time(step.time + step.eta_s, view.now)
    return ink.line(
        speed,
        " " + say("speed.samples") + "   ",
        (say("speed.eta") + " ", "$text-muted"),
        (fmt.duration(step.eta_s), "bold"),
        (f" → {end}", ""),
    )


def times(step: Step) -> list[float]:
    """Milliseconds a sample, in the order of PARTS."""
    return [
        step.data_ms,
        step.vision_ms,
        step.forward_ms + step.backward_ms,
        step.optimizer_ms,
    ]


def split_bar(step: Step, columns: int) -> Content:
    """One bar whose parts are as long as their times; the glyph tells them apart, too."""
    total = sum(times(step)) or 1.0
    pieces: list[ink.Piece] = []
    drawn, reached = 0, 0.0
    for (_name, glyph, style), part in zip(PARTS, times(step), strict=True):
        reached += part
        end = round(reached / total * columns)
        pieces.append((glyph * (end - drawn), style))
        drawn = end
    return ink.line(*pieces)


def split_legend(step: Step, columns: int) -> Content:
    """``█data 2 ▓vision 31 ▒language 45 ░optimizer 3`` with short names where room is scarce."""
    for names in ("part", "part_short"):
        pieces: list[ink.Piece] = []
        for (name, glyph, style), part in zip(PARTS, times(step), strict=True):
            pieces += [(glyph, style), (say(f"{names}.{name}"), "$text-muted"), f" {part:.0f} "]
        legend = ink.line(*pieces)
        if legend.cell_length <= columns + 1:
            break
    return legend
