"""A titled, numbered part of a screen that redraws only when its own figures change."""

import time
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.widget import Widget

from core.events import FINAL_STATES
from kocr_tui.strings import say
from kocr_tui.views.chart_window import ChartWindow
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink

# A little less than the seconds meant, since the screen looks once a second at best.
FIGURES_SECONDS = 0.9
CHART_SECONDS = 1.9


class Pace:
    """Lets something be drawn again only when it differs, and not before ``seconds`` are over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.forget()

    def forget(self) -> None:
        """Whatever comes next is drawn at once."""
        self._shown: object = None
        self._at = -self._seconds

    def allows(self, figures: object) -> bool:
        """Whether to draw these figures now; takes it that they are drawn then."""
        now = time.monotonic()
        if figures == self._shown or now - self._at < self._seconds:
            return False
        self._shown, self._at = figures, now
        return True


def waiting_row(view: RunView, until: str) -> Content:
    """What stands where there is nothing yet: what it waits for, or that nothing will come.

    ``until`` is the key of a string under ``waiting``.
    """
    key = "never" if view.live in FINAL_STATES else until
    return ink.line((say(f"waiting.{key}"), "$text-muted"))


class Pane(Widget, can_focus=True):
    """Base of the panes: ``figures`` says what is shown, ``draw`` shows it.

    A pane with a chart says and shows that by ``chart_figures`` and ``draw_chart``, at a slower
    pace. ``window`` are the steps that charts and strips show.
    """

    number: ClassVar[int]
    title_key: ClassVar[str]

    def __init__(self, widget_id: str = "") -> None:
        super().__init__(id=widget_id or f"pane-{self.number}", classes="pane")
        self.window = ChartWindow()
        self._view: RunView | None = None
        self._pace = Pace(FIGURES_SECONDS)
        self._chart_pace = Pace(CHART_SECONDS)
        self._title = ""

    def on_mount(self) -> None:
        self.set_title("")

    def set_title(self, detail: str) -> None:
        """The title in the border: number, name and, after a dot, a detail."""
        parts = [say(self.title_key), *([detail] if detail else [])]
        title = Content(f"{self.number} " + " · ".join(parts)).markup
        # A border is sent whole, so it is set only where it differs.
        if title != self._title:
            self._title = title
            self.border_title = title

    def show(self, view: RunView) -> None:
        """Draws what differs from the screen, as often as its pace allows."""
        self._view = view
        if not self.size.width:
            return
        if self._pace.allows(self.figures(view)):
            self.draw(view)
        if self._chart_pace.allows(self.chart_figures(view)):
            self.draw_chart(view)

    def redraw(self) -> None:
        """Draws at once, for instance because a key was pressed."""
        self._pace.forget()
        self._chart_pace.forget()
        if self._view is not None:
            self.show(self._view)

    def on_resize(self, _event: events.Resize) -> None:
        self.redraw()

    def figures(self, view: RunView) -> object:
        """Everything that the drawing depends on; never None."""
        raise NotImplementedError

    def draw(self, view: RunView) -> None:
        """Shows the view's figures."""
        raise NotImplementedError

    def chart_figures(self, _view: RunView) -> object:
        """Everything that the chart depends on; None where there is no chart."""
        return None

    def draw_chart(self, view: RunView) -> None:
        """Shows the view's chart."""
        raise NotImplementedError
