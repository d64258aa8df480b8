"""Styled text from plain pieces; nothing in it is ever read as markup."""

from textual.content import Content

Piece = str | tuple[str, str] | Content


def line(*pieces: Piece) -> Content:
    """One line from pieces: plain text, (text, style), or lines made before."""
    return Content.assemble(*pieces)


def lines(rows: list[Content]) -> Content:
    """The rows below each other."""
    return Content("\n").join(rows)
