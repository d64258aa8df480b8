"""Text of any height."""

from textual.visual import VisualType
from textual.widgets import Static


class Paragraph(Static):
    """A Static that has its new height also where it is written to while it is being mounted.

    Textual 8.2.8 keeps the height that it measured before in that case.
    """

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Replaces the text."""
        super().update(content, layout=layout)
        self.clear_cached_dimensions()
