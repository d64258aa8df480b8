"""Validation accuracy with intervals: rolling against the baseline, or final beside it."""

import math

from textual.app import ComposeResult
from textual.content import Content

from core.evaluate.text import Score, Scores
from core.events import FINAL_STATES, Validated
from kocr_tui import format as fmt
from kocr_tui.look.braille import Points
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.chart import Chart, decimate, within
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row

MEASURES = ("exact", "normalized", "similarity80")


class AccuracyPane(Pane):
    """Three measures in figures, and the normalised one as a line over its baseline."""

    number = 4
    title_key = "accuracy.title"

    def compose(self) -> ComposeResult:
        yield Lines("accuracy-figures")
        yield Chart()

    def figures(self, view: RunView) -> object:
        state = view.state
        newest = state.rolling[-1] if state.rolling else None
        over = view.live in FINAL_STATES
        return newest, state.baseline, state.final, state.best, len(state.rolling), over

    def draw(self, view: RunView) -> None:
        self.set_title(_title(view))
        rows = [*_measure_lines(view), _last_line(view, self.content_size.width)]
        self.query_one("#accuracy-figures", Lines).show_rows(rows)

    def chart_figures(self, view: RunView) -> object:
        return self.window, view.state.step, self.figures(view)

    def draw_chart(self, view: RunView) -> None:
        chart = self.query_one(Chart)
        start, end = self.window.span(view.state.step)
        chart.set_ylimits(0, 100)
        chart.set_yticks([0, 50, 100])
        chart.draw_lines(self._chart_lines(view, start, end, chart.columns), end, start)
        best = view.state.best
        if best is not None and (value := _share(best)) is not None:
            chart.mark(best.step, value, "$accent")

    def _chart_lines(
        self, view: RunView, start: float, end: float, columns: int
    ) -> list[tuple[Points, str]]:
        drawn: list[tuple[Points, str]] = []
        if (base := _share(view.state.baseline)) is not None:
            drawn.append((_dashes(base, start, end, columns), "$secondary"))
        points = [(float(at.step), _share(at) or 0.0) for at in view.state.rolling]
        if points:
            thinned = decimate(within(points, start, end), columns)
            drawn.append((thinned, "$success"))
        return drawn


def _dashes(value: float, start: float, end: float, columns: int) -> Points:
    """A level line with a gap of a cell after each, to tell it from a measured one."""
    dot = (end - start) / max(1, columns * 2 - 1)
    return [
        (start + dot * (first + shift), value if shift < 2 else math.nan)
        for first in range(0, columns * 2, 4)
        for shift in range(3)
    ]


def _share(scores: Validated | None) -> float | None:
    value = scores.scores.normalized.value if scores else None
    return None if value is None else value * 100


def _title(view: RunView) -> str:
    state = view.state
    if state.final is not None:
        return say("accuracy.final", n=state.final.scores.n)
    if state.rolling:
        return say("accuracy.rolling", n=state.rolling[-1].scores.n)
    if state.baseline is not None:
        return say("accuracy.baseline", n=state.baseline.scores.n)
    return ""


def _measure_lines(view: RunView) -> list[Content]:
    state = view.state
    newest = state.final or (state.rolling[-1] if state.rolling else None)
    if newest is None and state.baseline is None:
        return [waiting_row(view, "scores")]
    rows = []
    for measure in MEASURES:
        now = _score(newest.scores if newest else None, measure)
        base = _score(state.baseline.scores if state.baseline else None, measure)
        name = fmt.pad(say(f"measure.{measure}"), int(say("measure.columns")))
        beside = f" {say('accuracy.base')} {_short(base)}" if base else ""
        rows.append(
            ink.line((name, "$text-muted"), (fmt.pad(fmt.percent(now), 15), "bold"), beside)
        )
    return rows


def _score(scores: Scores | None, measure: str) -> Score | None:
    return getattr(scores, measure) if scores else None


def _short(score: Score) -> str:
    return fmt.NOTHING if score.value is None else f"{score.value * 100:.1f}"


def _last_line(view: RunView, columns: int) -> Content:
    """The best checkpoint, validation's share of the time, and, with room, the chart's legend."""
    state = view.state
    pieces: list[ink.Piece] = []
    if (best := state.best) is not None:
        value = fmt.percent(best.scores.normalized, interval=False)
        pieces += [("★ ", "bold $accent"), say("accuracy.best", value=value, step=best.step), "  "]
    newest = state.rolling[-1] if state.rolling else None
    if newest is not None and newest.share is not None and newest.share_limit is not None:
        used, limit = f"{newest.share * 100:.1f}", f"{newest.share_limit * 100:.0f}"
        pieces.append((say("accuracy.share", used=used, limit=limit), "$text-muted"))
    legend: list[ink.Piece] = [
        ("  ─", "$success"), (" " + say("measure.normalized"), "$text-muted"),
        ("  ╌", "$secondary"), (" " + say("accuracy.base"), "$text-muted"),
    ]  # fmt: skip
    whole = ink.line(*pieces, *legend)
    return whole if whole.cell_length <= columns else ink.line(*pieces)
