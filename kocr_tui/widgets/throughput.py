"""How fast it goes, when epoch and run end, and where the time goes."""

import math
from collections.abc import Collection

from textual.app import ComposeResult
from textual.content import Content

from core.events import FINAL_STATES, Step
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row

PARTS: tuple[tuple[str, str, str], ...] = (
    ("data", "█", "$primary"),
    ("vision", "▓", "$accent"),
    ("language", "▒", "$success"),
    ("optimizer", "░", "$secondary"),
    ("validation", "▞", "$warning"),
    ("checkpoint", "▚", "$error"),
)


class ThroughputPane(Pane):
    """Samples a second and ETA, the epoch, one bar split by part, and its legend."""

    number = 2
    title_key = "speed.title"

    def compose(self) -> ComposeResult:
        yield Lines("speed-figures")

    def figures(self, view: RunView) -> object:
        last = view.state.steps[-1] if view.state.steps else None
        return last, view.live

    def draw(self, view: RunView) -> None:
        self.set_title(say("speed.split"))
        figures = self.query_one(Lines)
        if not view.state.steps:
            figures.show_rows([waiting_row(view, "training")])
            return
        last, room = view.state.steps[-1], self.content_size.width
        spent = times(view.recent or [last])
        figures.show_rows(
            [
                pace(last, view),
                epoch_line(last, view, room),
                split_bar(spent, room),
                split_legend(spent, room),
            ]
        )


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


def epoch_line(step: Step, view: RunView, columns: int) -> Content:
    """``epoch 1.37/3   its end 21:10``, and tokens a second and utilisation where there is room."""
    training = view.state.training
    if training is None:
        return Content("")
    pieces: list[ink.Piece] = [
        (say("speed.epoch") + " ", "$text-muted"), f"{step.epoch:.2f}/{training.epochs}"
    ]  # fmt: skip
    left = training.epochs - step.epoch
    if view.live not in FINAL_STATES and view.live != "paused" and left > 0:
        rest = step.eta_s * min(1.0, (math.floor(step.epoch) + 1 - step.epoch) / left)
        end = fmt.clock_time(step.time + rest, view.now)
        pieces += [
            ("   " + say("speed.epoch_end") + " ", "$text-muted"),
            f"{fmt.duration(rest)} → {end}",
        ]
    extra: list[ink.Piece] = ["   ", say("speed.tokens", tokens=f"{step.tokens_per_s:,.0f}")]
    if step.utilisation is not None:
        extra.append(f"   MFU {step.utilisation * 100:.0f} %")
    whole = ink.line(*pieces, *extra)
    return whole if whole.cell_length <= columns else ink.line(*pieces)


def times(steps: Collection[Step]) -> list[float]:
    """Milliseconds a sample in the order of PARTS, the mean of these steps."""
    sums = [0.0] * len(PARTS)
    for step in steps:
        spent = (
            step.data_ms,
            step.vision_ms,
            step.forward_ms + step.backward_ms,
            step.optimizer_ms,
            step.validation_ms,
            step.checkpoint_ms,
        )
        sums = [total + part for total, part in zip(sums, spent, strict=True)]
    return [total / len(steps) for total in sums]


def split_bar(spent: list[float], columns: int) -> Content:
    """One bar whose parts are as long as their times; the glyph tells them apart, too."""
    total = sum(spent) or 1.0
    pieces: list[ink.Piece] = []
    drawn, reached = 0, 0.0
    for (_name, glyph, style), part in zip(PARTS, spent, strict=True):
        reached += part
        end = round(reached / total * columns)
        pieces.append((glyph * (end - drawn), style))
        drawn = end
    return ink.line(*pieces)


def split_legend(spent: list[float], columns: int) -> Content:
    """``█data 2 ▓vision 36 ▒language 56 …``: percent of the time, in as many words as fit.

    Where the parts don't fit by their short names, those below 2 % are left out.
    """
    total = sum(spent) or 1.0
    shares = [part / total * 100 for part in spent]
    for names, least in (("part", 0.0), ("part", 0.5), ("part_short", 0.5), ("part_short", 2.0)):
        pieces: list[ink.Piece] = []
        for (name, glyph, style), share in zip(PARTS, shares, strict=True):
            if share >= least:
                pieces += [
                    (glyph, style),
                    (say(f"{names}.{name}"), "$text-muted"),
                    f" {share:.0f} ",
                ]
        legend = ink.line(*pieces)
        if legend.cell_length <= columns + 1:
            break
    return legend
