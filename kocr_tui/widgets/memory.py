"""Memory of the card, or live tensor bytes on the CPU: used, peak, limit, and who else is there."""

from textual.app import ComposeResult
from textual.content import Content

from core.events import FINAL_STATES, Step
from core.hardware.nvml import Process
from kocr_tui import format as fmt
from kocr_tui.reading.card_reading import CardReading
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row
from kocr_tui.widgets.strip import Bars, BarStrip

NEARLY_FULL = 0.95


class MemoryPane(Pane):
    """A bar with the peak marked on it, the figures, and the history as a strip."""

    number = 1
    title_key = "memory.title"
    reading: CardReading | None = None

    def compose(self) -> ComposeResult:
        yield Lines("memory-figures")
        yield BarStrip("memory-history")

    def figures(self, view: RunView) -> object:
        last = view.state.steps[-1] if view.state.steps else None
        of_step = last and (last.used_bytes, last.peak_bytes, last.limit_bytes)
        over = view.live in FINAL_STATES
        return of_step, self.reading, view.state.tuned, view.state.worker, over

    def draw(self, view: RunView) -> None:
        on_cpu = view.state.worker is not None and view.state.worker.device == "cpu"
        self.set_title(say("memory.ram" if on_cpu else "memory.vram"))
        figures = self.query_one("#memory-figures", Lines)
        if not view.state.steps:
            figures.show_rows([waiting_row(view, "training")])
            return
        last, room = view.state.steps[-1], self.content_size.width
        rows = [memory_bar(last, room), memory_line(last), room_line(view, self.reading, room)]
        figures.show_rows([row for row in rows if row.plain])

    def chart_figures(self, view: RunView) -> object:
        return self.window, view.state.step, len(view.state.steps)

    def draw_chart(self, view: RunView) -> None:
        used = [(float(at.step), at.used_bytes / at.limit_bytes) for at in view.state.steps]
        self.query_one(BarStrip).show_values(Bars(used, self.window.span(view.state.step)))


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


def room_line(view: RunView, reading: CardReading | None, columns: int) -> Content:
    """What was proved to be needed, and what others hold of the card, as far as it is told."""
    pieces: list[ink.Piece] = []
    tuned = view.state.tuned
    if tuned is not None and tuned.choice.peak_gib is not None:
        pieces += [
            (say("memory.proved"), "$text-muted"),
            f" {fmt.size(tuned.choice.peak_gib * fmt.GIB)}  ",
        ]
    if reading is not None and reading.card is not None:
        others = reading.others_bytes(view.state.steps[-1].peak_bytes)
        about = "" if reading.mine and reading.mine.used_bytes else "~"
        pieces += [(say("memory.others"), "$text-muted"), f" {about}{fmt.size(others)}"]
        room = columns - ink.line(*pieces).cell_length - 1
        if (named := tenants(reading.others)) and room > 3:
            pieces.append((" " + fmt.cut(named, room), "$text-muted"))
    return ink.line(*pieces)


def tenants(others: tuple[Process, ...]) -> str:
    """``Xorg 0.31 GiB, 4711``: the other processes by name, or by number where none is told."""
    told = []
    for one in others:
        name = fmt.visible((one.name or str(one.pid)).rsplit("/", 1)[-1])
        told.append(f"{name} {fmt.size(one.used_bytes)}" if one.used_bytes else name)
    return ", ".join(told)
