"""The card's memory by kind: a bar with a glyph for each, and a legend with figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from core.planning import PlanReport
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import checkpointing_name
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.paragraph import Paragraph

# Glyph and style of each kind, in the order of the bar.
KINDS: dict[str, tuple[str, str]] = {
    "weights": ("█", "$primary"),
    "adapter": ("◆", "$success"),
    "optimizer": ("▒", "$foreground"),
    "activations": ("▓", "$accent"),
    "logits": ("▞", "$primary"),
    "kv_cache": ("▚", "$success"),
    "rest": ("▤", "$foreground"),
    "free": ("░", "$secondary"),
    "headroom": ("░", "$secondary"),
    "reserve": ("·", "$secondary"),
    "others": ("╳", "$error"),
}
# Kinds that no plan has.
_OWN_KINDS = {"rest", "free", "headroom", "reserve", "others"}
_SHOWN_SHARE = 0.0005


@dataclass(frozen=True)
class Share:
    """What one kind takes of the card, in GiB."""

    kind: str
    gib: float


class MemoryKinds(Paragraph):
    """Heading, bar and legend of the setup in question; drawn again only where a figure moved."""

    def __init__(self) -> None:
        super().__init__(id="memory-kinds", classes="pane", markup=False)
        self.border_title = say("tuning.memory")
        self._view: RunView | None = None
        self._shown: Content | None = None

    def show(self, view: RunView) -> None:
        """Takes no room until the card is known."""
        self._view = view
        room = self.content_size.width
        rows = memory_rows(view, room) if room or not self.display else []
        self.display = bool(rows) or not room
        content = ink.lines(rows) if rows else None
        if content is not None and content != self._shown:
            self._shown = content
            self.update(content)
        elif rows and self.content_size.height < len(rows):
            # A layout that ran while this was being mounted may have missed rows.
            self.refresh(layout=True)

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def memory_rows(view: RunView, columns: int) -> list[Content]:
    """The heading, the bar and as many lines of legend as it takes; none without a card."""
    worker, report = view.state.worker, view.pulse.plan.report
    if worker is None or not columns:
        return []
    capacity = worker.capacity_bytes / fmt.GIB
    others = (view.pulse.others_bytes or 0) / fmt.GIB
    found = shares(capacity, report, others)
    return [
        heading(capacity, report, columns),
        memory_bar(found, columns),
        *legend(found, capacity, columns),
    ]


def shares(capacity: float, report: PlanReport | None, others: float) -> list[Share]:
    """What each kind takes, in the order of the bar; GiB. What is empty is left out.

    ``rest`` is what was measured beyond the predicted kinds, ``reserve`` what the profile keeps
    free on every card.
    """
    kinds = report.by_kind if report else {}
    peak = peak_of(report)
    parts = {kind: kinds.get(kind, 0.0) for kind in KINDS}
    parts["rest"] = max(0.0, peak - sum(kinds.values()))
    free = max(0.0, capacity - peak - others)
    if report is None:
        parts["free"] = free
    else:
        parts["headroom"] = min(free, max(0.0, report.limit_gib - peak))
        parts["reserve"] = free - parts["headroom"]
    parts["others"] = others
    least = _SHOWN_SHARE * capacity
    return [Share(kind, amount) for kind, amount in parts.items() if amount > least]


def peak_of(report: PlanReport | None) -> float:
    """The peak of the setup in question, GiB; 0 where nothing is planned yet."""
    if report is None:
        return 0.0
    return report.choice.peak_gib if report.choice else sum(report.by_kind.values())


def heading(capacity: float, report: PlanReport | None, columns: int) -> Content:
    """Which setup it is about, and its peak: ``bf16 all at 4.82 MP: ~21.20 of 23.50 GiB``."""
    unit = "GiB" if capacity >= 1 else "MiB"
    whole = _amount(capacity, capacity)
    if report is None:
        return ink.line((say("tuning.memory_unplanned", whole=whole, unit=unit), "$secondary"))
    peak = _amount(peak_of(report), capacity)
    setup = report.choice
    if setup is None:
        text = say("tuning.memory_too_large", peak=peak, whole=whole, unit=unit)
        return ink.line((fmt.cut("✗ " + text, columns), "bold $error"))
    told = say(
        "tuning.memory_peak",
        weights=fmt.visible(setup.weights),
        checkpointing=checkpointing_name(fmt.visible(setup.checkpointing)),
        budget=fmt.pixels(setup.max_pixels),
        peak="~" + peak if setup.peak == "predicted" else peak,
        whole=whole,
        unit=unit,
        source=say(f"tuning.{setup.peak}"),
    )
    return Content(fmt.cut(told, columns))


def memory_bar(found: Sequence[Share], columns: int) -> Content:
    """Each kind as columns of its own glyph, at least one."""
    widths = columns_of([share.gib for share in found], columns)
    pieces = [
        (KINDS[share.kind][0] * width, KINDS[share.kind][1])
        for share, width in zip(found, widths, strict=True)
    ]
    return ink.line(*pieces)


def columns_of(amounts: Sequence[float], columns: int) -> list[int]:
    """``columns`` in proportion to positive amounts, and at least one for each."""
    total = sum(amounts)
    exact = [amount / total * columns for amount in amounts]
    widths = [max(1, int(share)) for share in exact]
    while widths and (missing := columns - sum(widths)):
        step = 1 if missing > 0 else -1
        places = [place for place, width in enumerate(widths) if step > 0 or width > 1]
        if not places:
            break
        widths[max(places, key=lambda place: step * (exact[place] - widths[place]))] += step
    return widths


def legend(found: Sequence[Share], capacity: float, columns: int) -> list[Content]:
    """``█ weights 4.12  ▓ activations 2.31``, on as many lines as it takes."""
    rows: list[Content] = [Content("")]
    for share in found:
        glyph, style = KINDS[share.kind]
        text = f" {_name(share.kind)} {_amount(share.gib, capacity)}"
        room = columns - rows[-1].cell_length
        if rows[-1].cell_length and room < fmt.width(text) + 3:
            rows.append(Content(""))
        gap = "  " if rows[-1].cell_length else ""
        rows[-1] = rows[-1].append(ink.line(gap, (glyph, f"bold {style}"), text))
    return rows


def _name(kind: str) -> str:
    return say(f"tuning.kind.{kind}" if kind in _OWN_KINDS else f"plan.kind.{kind}")


def _amount(gib: float, capacity: float) -> str:
    if capacity >= 1:
        return f"{gib:.2f}"
    mib = gib * 1024
    return f"{mib:.1f}" if mib < 10 else f"{mib:.0f}"
