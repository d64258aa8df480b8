"""The loss over steps, with the learning rate beside it."""

import math

from textual.app import ComposeResult
from textual.widgets import Static

from core.events import Step
from kocr_tui import format as fmt
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.chart import Chart, decimate, ticks
from kocr_tui.widgets.pane import Pane

SHOWN_SHARE = 0.98


class LossPane(Pane):
    """The newest loss in figures, and all of them as a line."""

    number = 3
    title_key = "loss.title"

    def compose(self) -> ComposeResult:
        yield Static(say("pane.waiting"), id="loss-figures", markup=False)
        yield Chart()

    def figures(self, view: RunView) -> object:
        return view.state.step, len(view.state.steps), view.state.training

    def draw(self, view: RunView) -> None:
        steps = view.state.steps
        if not steps:
            self.query_one("#loss-figures", Static).update(say("pane.waiting"))
            return
        last = steps[-1]
        figures = ink.line(
            (fmt.number(last.loss), "bold"),
            ("   " + say("loss.rate") + " ", "$text-muted"), fmt.number(last.learning_rate),
            ("   " + say("loss.gradient") + " ", "$text-muted"), fmt.number(last.grad_norm),
        )  # fmt: skip
        self.query_one("#loss-figures", Static).update(figures)
        chart = self.query_one(Chart)
        points = decimate(loss_points(steps), chart.columns)
        colour = self.app.theme_variables["primary"]
        high = max(y for _x, y in points) * 1.05 or 1.0
        chart.set_ylimits(0, high)
        chart.set_yticks(ticks(high, max(3, chart.rows * 2 // 3), least_gap=0))
        chart.draw_lines([(points, colour)], max(2.0, float(last.step)))


def loss_points(steps: list[Step]) -> list[tuple[float, float]]:
    """(step, loss) without the non-finite; the first giants are cut so that the rest shows."""
    finite = [(float(step.step), step.loss) for step in steps if math.isfinite(step.loss)]
    if not finite:
        return [(0.0, 0.0)]
    ranked = sorted(loss for _step, loss in finite)
    ceiling = ranked[int((len(ranked) - 1) * SHOWN_SHARE)]
    return [(step, min(loss, ceiling)) for step, loss in finite]
