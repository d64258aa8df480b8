"""Two lines over a run: which it is and how far it is."""

from textual.content import Content

from core.events import Predicted
from kocr_tui import format as fmt
from kocr_tui.look.palette import STATE_MARKS
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines


class RunHeader(Lines):
    """Run, state, profile and pixel budget; below, steps as a bar."""

    def __init__(self) -> None:
        super().__init__()
        self._view: RunView | None = None

    def show(self, view: RunView) -> None:
        """Draws where the two lines differ from those on the screen."""
        self._view = view
        if room := self.content_size.width:
            self.show_rows([first_line(view, room), second_line(view, room)])

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def first_line(view: RunView, columns: int) -> Content:
    """``▶ training  20261123-demo      rtx4090 · 1.00 MP · 1,280 tokens``."""
    mark, style = STATE_MARKS[view.live]
    state = say(f"state.{view.live}") + (say("state.slow_suffix") if view.pulse.slow else "")
    worker, tuned = view.state.worker, view.state.tuned
    facts = [worker.profile] if worker else []
    if tuned is not None:
        facts.append(fmt.pixels(tuned.choice.max_pixels))
        facts.append(say("header.tokens", tokens=f"{tuned.choice.image_tokens:,}"))
    right = fmt.visible(" · ".join(facts))
    left = f"{mark} {state}  "
    name = fmt.cut(
        fmt.visible(view.run_id), max(8, columns - fmt.width(left) - fmt.width(right) - 2)
    )
    gap = " " * max(1, columns - fmt.width(left) - fmt.width(name) - fmt.width(right))
    return ink.line((left, f"bold ${style}"), (name, "bold"), gap, (right, "$text-muted"))


def second_line(view: RunView, columns: int) -> Content:
    """``step 412/1200 ████░░░░ 34 %  epoch 1.37/3``, or what it is doing before the first step."""
    state, training = view.state, view.state.training
    if (reading := whole_pass(view)) is not None:
        return _reading_line(reading, columns)
    if training is None:
        return ink.line((say(f"doing.{view.live}"), "$text-muted"))
    step, steps = state.step, training.steps
    left = say("header.step", step=f"{step:,}", steps=f"{steps:,}") + " "
    epoch = state.steps[-1].epoch if state.steps else 0.0
    share = step / steps if steps else 0.0
    right = f" {share * 100:.0f} %  " + say(
        "header.epoch", epoch=f"{epoch:.2f}", of=training.epochs
    )
    drawn = fmt.bar(share, max(4, columns - fmt.width(left) - fmt.width(right)))
    return ink.line((left, ""), (drawn, "$success"), (right, ""))


def whole_pass(view: RunView) -> Predicted | None:
    """How far a pass over many validation photos is; None while there is none.

    A rolling slice is no such pass: it is over before its share of one could be read.
    """
    predicted = view.state.predicted
    if predicted is None or view.live not in {"baseline", "validating"}:
        return None
    if view.live == "baseline":
        return predicted if predicted.scope == "baseline" else None
    unread = predicted.scope != "rolling" and predicted.done < predicted.total
    return predicted if unread else None


def _reading_line(reading: Predicted, columns: int) -> Content:
    """``reading validation photos (final) 96/200 ███░░``."""
    scope, done, total = say(f"scope.{reading.scope}"), reading.done, reading.total
    left = say("header.reading", scope=scope, done=f"{done:,}", total=f"{total:,}") + " "
    share = done / total if total else 0.0
    drawn = fmt.bar(share, max(4, columns - fmt.width(left)))
    return ink.line((left, ""), (drawn, "$primary"))
