"""The plan of the form's choices, beside the form or in three lines below it."""

from textual.content import Content

from core.planning import PlannedSetup, PlanReport
from core.profile import GIB
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import checkpointing_name
from kocr_tui.reading.live_plan import PlanState
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.paragraph import Paragraph

_ROWS = 100_000
_FEW_LINES = 5
_LABEL_COLUMNS = 15


class PlanSide(Paragraph):
    """Redraws only when the plan, the epochs or its own size differ."""

    def __init__(self) -> None:
        super().__init__("", id="plan", markup=False)
        self._wanted: tuple[PlanState, int] = (PlanState(), 1)
        self._shown: object = None

    def show(self, state: PlanState, epochs: int) -> None:
        """Shows where the plan stands; ``epochs`` is for the hours in all."""
        self._wanted = (state, epochs)
        size = self.content_size
        if not size.width or (self._wanted, size) == self._shown:
            return
        self._shown = (self._wanted, size)
        lines = few_lines if size.height <= _FEW_LINES else side_lines
        self.update(ink.lines(lines(state, epochs, size.width)))

    def on_resize(self) -> None:
        self.show(*self._wanted)


def few_lines(state: PlanState, epochs: int, columns: int) -> list[Content]:
    """Budget and setup, memory and speed, and where the planner is."""
    status = _status(state)
    if state.report is None or state.problem is not None:
        # A reason may take all the lines.
        return [status]
    choice = state.report.choice
    if choice is None:
        return [Content(_nothing_fits(state.report)), status]
    times = [text for _label, text in _times(state.report, choice, epochs)]
    tokens = say("new.plan.image_tokens", tokens=f"{choice.image_tokens:,}")
    layers = f"{say('new.plan.checkpointing')} {_recompute(choice.checkpointing)}"
    first = [_budget(choice), tokens, choice.weights, layers]
    second = [_peak(state.report, choice), _speed(choice), *times]
    shade = "" if state.current else "dim"
    return [
        *(ink.line((fmt.cut("  ".join(parts), columns), shade)) for parts in (first, second)),
        status,
    ]


def side_lines(state: PlanState, epochs: int, columns: int) -> list[Content]:
    """The choice in full, then every setup, the best first."""
    report = state.report
    lines = [_status(state), Content("")]
    if report is None:
        return lines
    shade = "" if state.current else "dim"
    card = say("new.plan.card", profile=fmt.visible(report.profile), limit=_size(report.limit_gib))
    lines += [ink.line((card, shade or "$text-muted")), Content("")]
    if report.choice is None:
        lines.append(ink.line((_nothing_fits(report), shade or "$text-warning")))
    else:
        lines += _choice(report, report.choice, epochs, columns, shade)
    if len(report.setups) > 1:
        lines += [Content(""), *_table(report, columns, shade)]
    for warning in report.warnings:
        lines += [Content(""), ink.line((f"! {fmt.visible(warning)}", shade or "$text-warning"))]
    return lines


def _choice(
    report: PlanReport, choice: PlannedSetup, epochs: int, columns: int, shade: str
) -> list[Content]:
    width, height = report.largest_photo
    facts = [
        (say("new.plan.budget"), _budget(choice)),
        (say("new.plan.tokens"), f"{choice.image_tokens:,}"),
        (say("new.plan.photo"), f"{width:,} x {height:,}"),
        (say("plan.kind.weights"), choice.weights),
        (say("new.plan.checkpointing"), _recompute(choice.checkpointing)),
        (say("new.plan.peak"), _size_of(report, choice)),
        ("", fmt.bar(choice.peak_gib / report.limit_gib, min(24, columns - _LABEL_COLUMNS))),
        (say("new.plan.speed"), _speed(choice)),
        *_times(report, choice, epochs),
    ]
    return [
        ink.line((fmt.pad(label, _LABEL_COLUMNS), "dim"), (text, shade or "bold" * (index == 0)))
        for index, (label, text) in enumerate(facts)
    ]


def _times(report: PlanReport, choice: PlannedSetup, epochs: int) -> list[tuple[str, str]]:
    """Label and time of an epoch, and of all where there are several."""
    if not choice.samples_per_s:
        return []
    label = say("new.plan.time")
    seconds = (report.rows or _ROWS) / choice.samples_per_s
    if report.rows is None:
        time = _about(choice, seconds)
        return [(label, say("new.plan.per_photos", time=time, count=f"{_ROWS:,}"))]
    times = [(label, say("new.plan.an_epoch", time=_about(choice, seconds)))]
    if epochs > 1:
        time = _about(choice, seconds * epochs)
        times.append(("", say("new.plan.all_epochs", time=time, count=epochs)))
    return times


def _table(report: PlanReport, columns: int, shade: str) -> list[Content]:
    """A line for each setup; the gaps shrink where room is short."""
    heads = say("new.plan.head").split("|")
    rows = [heads, *(_row(setup) for setup in report.setups)]
    widths = [max(fmt.width(row[column]) for row in rows) for column in range(len(heads))]
    gap = "  " if 2 * len(widths) + sum(widths) <= columns else " "
    marks = ["  ", *("▸ " if setup.chosen else "  " for setup in report.setups)]
    lines = [ink.line((say("new.plan.setups", count=len(report.setups)), shade or "bold"))]
    for index, (mark, row) in enumerate(zip(marks, rows, strict=True)):
        first, *rest = zip(row, widths, strict=True)
        text = mark + fmt.pad(*first) + "".join(gap + fmt.pad_left(*cell) for cell in rest)
        style = "$text-muted" if index == 0 else "bold" if mark.strip() else ""
        lines.append(ink.line((fmt.cut(text.rstrip(), columns), shade or style)))
    return lines


def _row(setup: PlannedSetup) -> list[str]:
    name = f"{setup.weights} {checkpointing_name(setup.checkpointing)}"
    if not setup.feasible:
        return [name, say("new.plan.too_large"), _gib(setup), "", ""]
    seconds = None if setup.hours_an_epoch is None else setup.hours_an_epoch * 3600
    if seconds is None and setup.samples_per_s:
        seconds = _ROWS / setup.samples_per_s
    rate = fmt.rate(setup.samples_per_s)
    return [name, _budget(setup), _gib(setup), rate, fmt.duration(seconds)]


def _status(state: PlanState) -> Content:
    if state.problem is not None:
        return ink.line((f"✗ {fmt.visible(state.problem)}", "$text-error"))
    if state.waiting:
        return ink.line(("≈ " + say("new.plan.waiting"), "$accent"))
    if not state.planning:
        known = state.report is not None and state.current
        return ink.line(("✓ " + say("new.plan.ready"), "$text-success")) if known else Content("")
    text = say("new.plan.anew" if state.report and not state.current else "new.plan.planning")
    if state.total:
        words = "new.plan.reading_photos" if state.words == "photos" else "new.plan.step"
        # The planner tells what is done; people count the one it is at.
        step = state.done if state.words == "photos" else min(state.done + 1, state.total)
        text = say(words, done=f"{step:,}", total=f"{state.total:,}")
    if state.first:
        text = f"{say('new.plan.first')} {text}"
    return ink.line((f"≈ {text}", "$accent"))


def _nothing_fits(report: PlanReport) -> str:
    least = min((setup.peak_gib for setup in report.setups), default=report.limit_gib)
    return say("new.plan.nothing_fits", limit=_size(report.limit_gib), least=_size(least))


def _budget(setup: PlannedSetup) -> str:
    return fmt.pixels(setup.max_pixels)


def _recompute(checkpointing: str) -> str:
    if checkpointing in ("none", "all"):
        return say(f"new.plan.recompute_{checkpointing}")
    return say("new.plan.recompute_some", n=checkpointing)


def _size_of(report: PlanReport, choice: PlannedSetup) -> str:
    mark, peak, limit = _mark(choice.peak), _size(choice.peak_gib), _size(report.limit_gib)
    return say("new.plan.of", peak=f"{mark}{peak}", limit=limit)


def _peak(report: PlanReport, choice: PlannedSetup) -> str:
    return f"{say('new.plan.peak')} {_size_of(report, choice)}"


def _speed(choice: PlannedSetup) -> str:
    return say("new.plan.rate", rate=_mark(choice.speed) + fmt.rate(choice.samples_per_s))


def _about(choice: PlannedSetup, seconds: float) -> str:
    return _mark(choice.speed) + fmt.duration(seconds)


def _mark(source: str) -> str:
    return "~" if source == "predicted" else ""


def _gib(setup: PlannedSetup) -> str:
    return fmt.size(setup.peak_gib * GIB).removesuffix(" GiB")


def _size(gib: float) -> str:
    return fmt.size(gib * GIB)
