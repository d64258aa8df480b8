"""Foreign text made fit to show: on one line, of bounded length, and without effect."""

import unicodedata

MOST_CHARACTERS = 4096
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F
_WITHOUT_FORM = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str) -> str:
    """``text`` on one line in NFC, with control characters as pictures so that they do nothing.

    What is longer than MOST_CHARACTERS ends there with an ellipsis.
    """
    # Cut first: sorting a million combining marks takes minutes.
    kept = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
    return "".join(map(_visible, unicodedata.normalize("NFC", kept)))


def is_plain(text: str) -> bool:
    """Whether a text may be shown as it is: no terminal obeys it, and nothing of it is hidden."""
    return not any(map(is_without_form, text))


def is_without_form(character: str) -> bool:
    """Whether a terminal would obey or hide a character: controls, bidi marks, zero widths."""
    return unicodedata.category(character) in _WITHOUT_FORM


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == _DELETE:
        return "\u2421"
    return f"<{code:04X}>" if is_without_form(character) else character
