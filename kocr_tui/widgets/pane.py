"""A titled, numbered part of a screen that redraws only when its own figures change."""

from typing import ClassVar

from textual import events
from textual.content import Content
from textual.widget import Widget

from kocr_tui.run_view import RunView
from kocr_tui.strings import say


class Pane(Widget, can_focus=True):
    """Base of the panes: ``figures`` says what is shown, ``draw`` shows it."""

    number: ClassVar[int]
    title_key: ClassVar[str]

    def __init__(self, widget_id: str = "") -> None:
        super().__init__(id=widget_id or f"pane-{self.number}", classes="pane")
        self._view: RunView | None = None
        self._shown: object = None

    def on_mount(self) -> None:
        self.set_title("")

    def set_title(self, detail: str) -> None:
        """The title in the border: number, name and, after a dot, a detail."""
        parts = [say(self.title_key), *([detail] if detail else [])]
        self.border_title = Content(f"{self.number} " + " · ".join(parts)).markup

    def show(self, view: RunView) -> None:
        """Draws if this pane's figures differ from those on the screen."""
        self._view = view
        figures = self.figures(view)
        if figures != self._shown and self.size.width:
            self._shown = figures
            self.draw(view)

    def on_resize(self, _event: events.Resize) -> None:
        if self._view is not None and self.size.width:
            self._shown = self.figures(self._view)
            self.draw(self._view)

    def figures(self, view: RunView) -> object:
        """Everything that the drawing depends on."""
        raise NotImplementedError

    def draw(self, view: RunView) -> None:
        """Shows the view's figures."""
        raise NotImplementedError
