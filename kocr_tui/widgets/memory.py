"""Memory of the card, or live tensor bytes on the CPU: used, peak and limit."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Sparkline, Static

from core.events import Step
from kocr_tui import format as fmt
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.pane import Pane

KEPT_READINGS = 240
NEARLY_FULL = 0.95


class MemoryPane(Pane):
    """A bar with the peak marked on it, the figures, and the history as a strip."""

    number = 1
    title_key = "memory.title"

    def compose(self) -> ComposeResult:
        yield Static(say("pane.waiting"), id="memory-figures", markup=False)
        yield Sparkline([], id="memory-history")

    def figures(self, view: RunView) -> object:
        last = view.state.steps[-1] if view.state.steps else None
        return last and (last.step, last.used_bytes, last.peak_bytes, last.limit_bytes)

    def draw(self, view: RunView) -> None:
        on_cpu = view.state.worker is not None and view.state.worker.device == "cpu"
        self.set_title(say("memory.ram" if on_cpu else "memory.vram"))
        if not view.state.steps:
            self.query_one("#memory-figures", Static).update(say("pane.waiting"))
            return
        last = view.state.steps[-1]
        rows = [memory_bar(last, self.content_size.width), memory_line(last)]
        self.query_one("#memory-figures", Static).update(ink.lines(rows))
        history = [step.used_bytes / step.limit_bytes for step in view.state.steps]
        strip = self.query_one("#memory-history", Sparkline)
        strip.data = history[-KEPT_READINGS:]


def memory_bar(step: Step, columns: int) -> Content:
    """``████████░░░│░░░  64 %``: used, the peak as a bar across, and used as a share."""
    share = step.used_bytes / step.limit_bytes
    label = f" {share * 100:3.0f} %"
    room = max(1, columns - len(label))
    drawn = fmt.bar(share, room)
    peak = min(room - 1, int(step.peak_bytes / step.limit_bytes * room))
    peak_style = (
        "bold $error" if step.peak_bytes > NEARLY_FULL * step.limit_bytes else "bold $accent"
    )
    return ink.line(
        (drawn[:peak], "$primary"), ("│", peak_style), (drawn[peak + 1 :], "$primary"), label
    )


def memory_line(step: Step) -> Content:
    """Used, peak and limit in the unit that suits the limit."""
    unit, divisor = ("GiB", fmt.GIB) if step.limit_bytes >= fmt.GIB else ("MiB", fmt.MIB)
    digits = 2 if unit == "GiB" else 0
    used, peak, limit = (
        f"{count / divisor:.{digits}f}"
        for count in (step.used_bytes, step.peak_bytes, step.limit_bytes)
    )
    return ink.line(
        (say("memory.used"), "$text-muted"), f" {used} ",
        ("│", "bold $accent"), (say("memory.peak"), "$text-muted"), f" {peak} ",
        (say("memory.limit"), "$text-muted"), f" {limit} {unit}",
    )  # fmt: skip
