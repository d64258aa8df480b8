"""What went wrong in a run, in the language in use and in one line, as all outputs tell it."""

from typing import Literal

from core.events import (
    CardTrouble,
    Differed,
    LoaderDied,
    LossSpike,
    NotFinite,
    RolledBack,
    SaveFailed,
)
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.words import changes_in_words

Fault = Differed | NotFinite | RolledBack | LossSpike | CardTrouble | LoaderDied | SaveFailed
Level = Literal["info", "warning", "error"]


def level_of(event: Fault) -> Level:
    """How much a fault matters: an error is what can lose work, info what is over."""
    match event:
        case SaveFailed() | CardTrouble(what="lost"):
            return "error"
        case CardTrouble(what="recovered"):
            return "info"
        case _:
            return "warning"


def fault_in_words(event: Fault) -> str:
    """One line, fit to print."""
    match event:
        case Differed():
            return say("fault.differed", changes=changes_in_words(event.differences))
        case NotFinite():
            return say(
                f"fault.not_finite.{event.what}",
                step=f"{event.step:,}",
                in_a_row=f"{event.in_a_row:,}",
                total=f"{event.total:,}",
            )
        case LossSpike():
            return say(
                "fault.loss_spike",
                step=f"{event.step:,}",
                loss=fmt.number(event.loss),
                usual=fmt.number(event.usual),
            )
        case _:
            return _with_its_message(event)


def _with_its_message(event: RolledBack | CardTrouble | LoaderDied | SaveFailed) -> str:
    message = fmt.visible(event.message)
    match event:
        case CardTrouble():
            return say(f"fault.card.{event.what}", message=message)
        case RolledBack():
            to_step = f"{event.to_step:,}"
            return say(
                "fault.rolled_back", step=f"{event.step:,}", to_step=to_step, message=message
            )
        case LoaderDied():
            return say("fault.loader_died", step=f"{event.step:,}", message=message)
        case SaveFailed():
            key = "fault.save_failed" if event.retry_s is not None else "fault.save_failed_last"
            wait = fmt.duration(event.retry_s)
            return say(key, step=f"{event.step:,}", wait=wait, message=message)
