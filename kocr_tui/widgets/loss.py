"""The loss over steps, linear or logarithmic, with the learning rate below it."""

import math

from textual.app import ComposeResult

from core.events import FINAL_STATES
from kocr_tui import format as fmt
from kocr_tui.actions import ACTIONS, key_label
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.chart import (
    MARGIN_LEFT,
    ROWS_A_TICK,
    Chart,
    decimate,
    log_ticks,
    ticks,
    within,
)
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row
from kocr_tui.widgets.strip import Bars, BarStrip

SHOWN_SHARE = 0.98
LOG_MARGIN = 0.05
Losses = list[tuple[float, float]]


class LossPane(Pane):
    """The newest loss in figures, all of them as a line, and the learning rate as a strip."""

    number = 3
    title_key = "loss.title"
    log_scale = False

    def compose(self) -> ComposeResult:
        yield Lines("loss-figures")
        yield Chart()
        yield BarStrip("rate-history")

    def figures(self, view: RunView) -> object:
        state = view.state
        over = view.live in FINAL_STATES
        return state.step, len(state.steps), state.training, self.log_scale, self.window, over

    def draw(self, view: RunView) -> None:
        self.set_title(self._detail(view))
        steps = view.state.steps
        if not steps:
            self.query_one("#loss-figures", Lines).show_rows([waiting_row(view, "training")])
            return
        last = steps[-1]
        figures = ink.line(
            (fmt.number(last.loss), "bold"),
            ("   " + say("loss.rate") + " ", "$text-muted"), fmt.number(last.learning_rate),
            ("   " + say("loss.gradient") + " ", "$text-muted"), fmt.number(last.grad_norm),
        )  # fmt: skip
        self.query_one("#loss-figures", Lines).show_rows([figures])

    def chart_figures(self, view: RunView) -> object:
        return self.figures(view)

    def draw_chart(self, view: RunView) -> None:
        start, end = self.window.span(view.state.step)
        losses = [(float(step), loss) for step, loss in view.state.history.losses()]
        self._draw_losses(within(losses, start, end), start, end)
        rates = [(float(step.step), step.learning_rate) for step in view.state.steps]
        most = max((rate for _step, rate in rates), default=0.0) or 1.0
        shares = [(step, rate / most) for step, rate in rates]
        label = fmt.pad_left(say("loss.rate_short"), MARGIN_LEFT - 1) + " "
        self.query_one(BarStrip).show_values(Bars(shares, (start, end), label, "$secondary"))

    def _detail(self, view: RunView) -> str:
        told = [say("loss.log_scale")] if self.log_scale else []
        if self.window.length is not None:
            start, end = self.window.span(view.state.step)
            whole = key_label(next(one for one in ACTIONS if one.id == "whole_chart"))
            told.append(say("loss.zoomed", start=f"{start:,.0f}", end=f"{end:,.0f}", whole=whole))
        return " · ".join(told)

    def _draw_losses(self, losses: Losses, start: float, end: float) -> None:
        chart = self.query_one(Chart)
        points = decimate(without_giants(losses), chart.columns)
        gaps = max(2, chart.rows // ROWS_A_TICK)
        if self.log_scale and (positive := [(x, y) for x, y in points if y > 0]):
            points = [(x, math.log10(y)) for x, y in positive]
            low, high = log_limits([y for _x, y in positive])
            marks = log_ticks(10**low, 10**high, gaps)
            chart.set_ylimits(low, high)
            chart.set_yticks([math.log10(mark) for mark in marks], [f"{mark:g}" for mark in marks])
        else:
            top = max((y for _x, y in points), default=1.0) * 1.05 or 1.0
            chart.set_ylimits(0, top)
            chart.set_yticks(ticks(top, gaps, least_gap=0))
        chart.draw_lines([(points, "$primary")], end, start)


def log_limits(losses: list[float]) -> tuple[float, float]:
    """Logarithms a little below and above positive losses."""
    low, high = math.log10(min(losses)), math.log10(max(losses))
    margin = max(0.01, (high - low) * LOG_MARGIN)
    return low - margin, high + margin


def without_giants(losses: Losses) -> Losses:
    """(step, loss) with the first giants cut down, so that the rest shows."""
    if not losses:
        return []
    ranked = sorted(loss for _step, loss in losses)
    ceiling = ranked[int((len(ranked) - 1) * SHOWN_SHARE)]
    return [(step, min(loss, ceiling)) for step, loss in losses]
