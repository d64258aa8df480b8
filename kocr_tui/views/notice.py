"""One thing to know about a run."""

from dataclasses import dataclass
from typing import Literal

Urgency = Literal["error", "warning", "success"]


@dataclass(frozen=True)
class Notice:
    """One thing to know: a headline, lines that explain it, and what to do about it.

    ``hint`` says where else to look, where there is room for all the rest.
    """

    urgency: Urgency
    mark: str
    text: str
    detail: tuple[str, ...] = ()
    remedy: str = ""
    hint: str = ""
