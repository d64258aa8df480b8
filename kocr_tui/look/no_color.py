"""NO_COLOR: Textual draws in greys, and a style sheet of ours adds reverse and underline."""

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter


class StyledFilter(LineFilter):
    """Gives every segment a style: Textual's grey filter fails on the plain ones of charts."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        plain = Style.null()
        return [Segment(text, style or plain, control) for text, style, control in segments]
