"""HTML by construction: what isn't made by ``tag`` is foreign text, made visible and escaped."""

from collections.abc import Iterable
from html import escape

from core.visible_text import visible

Value = str | int | float | bool | None
_VOID = frozenset({"br", "img", "meta"})


class Markup(str):
    """HTML that goes into a page as it is; only this package's own functions make it."""

    __slots__ = ()


def tag(element: str, /, *children: str, **attributes: Value) -> Markup:
    """An element; a child that is plain text is shown as text, whatever is in it.

    An attribute is named as in Python, with an underscore for a hyphen and one at the end for a
    keyword (``class_``); None and False leave it out, True gives it without a value.
    """
    given = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return Markup(f"<{element}{given}>")
    return Markup(f"<{element}{given}>{together(children)}</{element}>")


def together(children: Iterable[str]) -> Markup:
    """Elements and texts one after the other."""
    return Markup("".join(map(_safe, children)))


def _safe(child: str) -> str:
    return child if isinstance(child, Markup) else escape(visible(child))


def _attribute(name: str, value: Value) -> str:
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    # A data URI is longer than what is shown of any text, and made here.
    return f' {name}="{text if isinstance(value, Markup) else escape(visible(text))}"'
