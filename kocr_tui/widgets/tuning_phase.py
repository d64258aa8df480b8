"""What the search is at, in one line: what one wants to see first."""

from textual.content import Content
from textual.widgets import Static

from core.events import FINAL_STATES, Planned, ProbeStarted, Setup, Tuned
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import checkpointing_name
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink

_BAR_COLUMNS = 24


class TuningPhase(Static):
    """Planning, probing or chosen; drawn again where the line differs."""

    def __init__(self) -> None:
        super().__init__(id="tuning-phase", markup=False)
        self._shown: Content | None = None
        self._view: RunView | None = None

    def show(self, view: RunView) -> None:
        """Brings the line up to date."""
        self._view = view
        line = phase_line(view, self.content_size.width)
        if line != self._shown:
            self._shown = line
            self.update(line)

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)


def phase_line(view: RunView, columns: int) -> Content:
    """The line for the newest of what is known."""
    state, plan = view.state, view.pulse.plan
    # The plan of a choice that was changed is put aside before the new worker says a word.
    changed = plan.report is None and plan.chosen_from is not None
    if state.tuned is not None and not changed:
        return _chosen(view, state.tuned, columns)
    if view.live in FINAL_STATES:
        feasible = any(setup.feasible for setup in plan.setups)
        key = "over_choose" if feasible else "over_none" if plan.setups else "over"
        return ink.line((say(f"tuning.{key}"), "$secondary"))
    if state.probing is not None:
        return _probing(state.probing)
    if state.planned is not None and not state.probes:
        return _planning(state.planned)
    return ink.line((say("tuning.between" if state.probes else "tuning.begins"), "$secondary"))


def _planning(planned: Planned) -> Content:
    share = planned.done / planned.total if planned.total else 1.0
    if share >= 1.0:
        return ink.line((say("tuning.planned", total=planned.total), "bold $accent"))
    told = say("tuning.planning", done=planned.done, total=planned.total)
    return ink.line((f"▶ {told}  ", "bold $accent"), (fmt.bar(share, _BAR_COLUMNS), "$primary"))


def _probing(probing: ProbeStarted) -> Content:
    told = say("tuning.probing", number=probing.probe, setup=setup_line(probing.setup))
    return ink.line((f"▶ {told}", "bold $accent"))


def _chosen(view: RunView, tuned: Tuned, columns: int) -> Content:
    key = "probe.reused" if tuned.reused else "probe.chosen"
    line = ink.line(("✓ " + say(key, setup=setup_line(tuned.choice)), "bold $success"))
    waits = ink.line((f"  {say('tuning.waits')}", "$secondary"))
    waiting = view.state.training is None and view.live in FINAL_STATES
    fits = line.cell_length + waits.cell_length <= columns
    return line.append(waits) if waiting and fits else line


def setup_line(setup: Setup) -> str:
    """A setup in one line: budget, weights, LoRA, checkpointing."""
    return say(
        "probe.setup_line",
        budget=fmt.pixels(setup.max_pixels),
        weights=fmt.visible(setup.weights),
        rank=setup.rank,
        targets=fmt.visible(setup.targets),
        checkpointing=checkpointing_name(fmt.visible(setup.checkpointing)),
    )
