"""The decisions that led to the choice, a sentence each."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.paragraph import Paragraph


class WhyPane(VerticalScroll):
    """The sentences as far as they are known, and before that what to expect."""

    def __init__(self) -> None:
        super().__init__(id="tuning-why", classes="pane")
        self.border_title = say("plan.why")
        self._shown: tuple[str, ...] | None = None

    def compose(self) -> ComposeResult:
        yield Paragraph("", markup=False)

    def show(self, view: RunView) -> None:
        """Draws where the sentences differ."""
        sentences = sentences_of(view)
        if sentences != self._shown:
            self._shown = sentences
            self.query_one(Paragraph).update(
                ink.lines([why_line(text) for text in sentences] or [_expected()])
            )


def _expected() -> Content:
    return ink.line((say("tuning.begins"), "$secondary"))


def sentences_of(view: RunView) -> tuple[str, ...]:
    """The plan's warnings, then why: of the proof where there is one, else of the plan so far."""
    report, tuned = view.pulse.plan.report, view.state.tuned
    why = tuned.why if tuned else report.why if report else ()
    warnings = report.warnings if report else ()
    return (*(f"! {warning}" for warning in warnings), *why)


def why_line(sentence: str) -> Content:
    """One sentence after a mark."""
    mark, text = ("! ", sentence[2:]) if sentence.startswith("! ") else ("· ", sentence)
    return ink.line((mark, "bold $warning" if mark == "! " else "$secondary"), fmt.visible(text))
