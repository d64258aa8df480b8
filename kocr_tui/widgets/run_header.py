"""Two lines over a run: which it is and how far it is, and what is wrong with it."""

from textual.content import Content
from textual.widgets import Static

from core.events import FINAL_STATES
from kocr_tui import format as fmt
from kocr_tui.palette import STATE_MARKS
from kocr_tui.run_view import RunView
from kocr_tui.strings import say
from kocr_tui.widgets import ink

LOW_TAIL = 1


class RunHeader(Static):
    """Run, state, profile and pixel budget; below, steps as a bar."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: Content | None = None
        self._view: RunView | None = None

    def show(self, view: RunView) -> None:
        """Draws where the two lines differ from those on the screen."""
        self._view = view
        room = self.content_size.width
        content = ink.lines([first_line(view, room), second_line(view, room)])
        if room and content != self._shown:
            self._shown = content
            self.update(content)

    def on_resize(self) -> None:
        if self._view is not None:
            self._shown = None
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
    name = fmt.cut(view.run_id, max(8, columns - fmt.width(left) - fmt.width(right) - 2))
    gap = " " * max(1, columns - fmt.width(left) - fmt.width(name) - fmt.width(right))
    return ink.line((left, f"bold ${style}"), (name, "bold"), gap, (right, "$text-muted"))


def second_line(view: RunView, columns: int) -> Content:
    """``step 412/1200 ████░░░░ 34 %  epoch 1.37/3``, or what it is doing before the first step."""
    state, training = view.state, view.state.training
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


class Banner(Static):
    """What is wrong, asked or over, and the key that helps; hidden when there is nothing."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: Content | None = None

    def show(self, view: RunView) -> None:
        """Draws where the lines differ; takes no room without any."""
        rows = banner_lines(view, LOW_TAIL if self.screen.has_class("-low") else None)
        content = ink.lines(rows) if rows else None
        if content != self._shown:
            self._shown = content
            self.display = content is not None
            self.update(content or "")


def banner_lines(view: RunView, tail_lines: int | None = None) -> list[Content]:
    """The lines, the most urgent first; of the worker's log at most ``tail_lines``."""
    if view.pulse.gone:
        return [ink.line(("✗ " + say("banner.gone", run=view.run_id), "bold $error"))]
    rows = _end_lines(view, tail_lines)
    if (asked := view.asked_line()) is not None:
        rows.append(ink.line(("? " + asked, "bold $warning")))
    if view.pulse.slow:
        age = fmt.duration(view.pulse.heartbeat_age)
        rows.append(
            ink.line(("! " + say("banner.slow", age=age, pid=view.pulse.pid), "bold $warning"))
        )
    if view.pulse.problems:
        problem = fmt.visible(view.pulse.problems[-1])
        text = say("banner.problem", count=len(view.pulse.problems), problem=problem)
        rows.append(ink.line(("! " + text, "$warning")))
    return rows


def _end_lines(view: RunView, tail_lines: int | None) -> list[Content]:
    if view.live not in FINAL_STATES:
        return []
    finished, checkpoint = view.state.finished, view.state.checkpoint
    kept = say("banner.kept", step=checkpoint.step) if checkpoint else say("banner.nothing_kept")
    tail = [
        ink.line(("  │ ", "$text-muted"), (fmt.visible(line), "$text-muted"))
        for line in view.pulse.log_tail[-(tail_lines or 0) :]
    ]
    if view.live == "died":
        age = (
            fmt.duration(view.now - view.state.updated_at) if view.state.updated_at else fmt.NOTHING
        )
        return [
            ink.line(("✗ " + say("banner.died", age=age), "bold $error")),
            *tail,
            Content("  " + say("banner.resume", kept=kept)),
        ]
    message = fmt.visible(finished.message) if finished else ""
    if view.live == "failed":
        said = ink.line((f"✗ {say('state.failed')}: {message}", "bold $error"))
        return [said, *tail, Content("  " + say("banner.resume", kept=kept))]
    if view.live == "done":
        return [ink.line(("✓ " + say("banner.done"), "bold $success"), f" {message}")]
    said = ink.line((f"■ {say(f'state.{view.live}')}: {message}", "bold $warning"))
    return [said, Content("  " + say("banner.resume", kept=kept))]
