"""Faults that a run lives with: what stands until it is over, and what is told for a while."""

from collections.abc import Iterator

from core.events import FINAL_STATES, CardTrouble, RanOutOfMemory, RolledBack, SaveFailed
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.notice import Notice
from kocr_tui.views.run_view import RunView

TOLD_STEPS = 20
TOLD_SECONDS = 300.0


def save_failed(view: RunView) -> Notice | None:
    """That checkpoints can't be saved, until one is or the run ends."""
    failed = view.state.faults.save_failed
    if failed is None or view.live in FINAL_STATES:
        return None
    disk, saved = view.pulse.around.disk, view.state.checkpoint_step
    end = "_full" if disk is not None and disk.is_full else ""
    said = say(
        f"banner.save_failed{end}",
        step=f"{failed.step:,}",
        then=_then(failed, view.now),
        free=fmt.size(failed.free_bytes),
    )
    last = say("banner.save_last", step=f"{saved:,}") if saved else say("banner.save_last_none")
    reason = fmt.visible(failed.message.removeprefix(f"{view.run.path}/"))
    return Notice("error", "✗", said, (reason,), say(f"banner.save_remedy{end}", last=last))


def _then(failed: SaveFailed, now: float) -> str:
    if failed.retry_s is None:
        return say("banner.save_ends")
    wait = failed.time + failed.retry_s - now
    return say("banner.save_again", wait=fmt.duration(wait)) if wait > 0 else say("banner.save_due")


def lived_with(view: RunView) -> Iterator[Notice]:
    """Throttling while it lasts; the rest for 20 steps and five minutes, whichever is longer."""
    if view.live in FINAL_STATES:
        return
    faults = view.state.faults
    if faults.throttled is not None:
        yield _of_the_card("throttled", faults.throttled)
    if (trouble := faults.card_trouble) is not None and view.now - trouble.time < TOLD_SECONDS:
        yield _of_the_card("card_trouble", trouble)
    if (back := faults.rolled_back) is not None and _is_new(view, back, back.step):
        yield _rolled_back(view, back)
    if (memory := faults.out_of_memory) is not None and _is_new(view, memory, memory.step):
        yield _out_of_memory(view, memory)


def _is_new(view: RunView, event: RanOutOfMemory | RolledBack, step: int) -> bool:
    return view.state.step < step + TOLD_STEPS or view.now - event.time < TOLD_SECONDS


def _of_the_card(key: str, event: CardTrouble) -> Notice:
    said = say(f"banner.{key}", message=fmt.visible(event.message))
    return Notice("warning", "!", said, remedy=say(f"banner.{key}_remedy"))


def _rolled_back(view: RunView, event: RolledBack) -> Notice:
    values = {"step": f"{event.step:,}", "to_step": f"{event.to_step:,}"}
    count, message = view.state.faults.rollbacks, fmt.visible(event.message)
    said = say("banner.rolled_back", count=count, message=message, **values)
    return Notice("warning", "!", said, remedy=say("banner.rolled_back_remedy", **values))


def _out_of_memory(view: RunView, event: RanOutOfMemory) -> Notice:
    count = view.state.faults.out_of_memory_count
    recovered = event.remedy != "wait" or view.state.step >= event.step
    key = "banner.memory" if recovered else "banner.memory_waiting"
    said = say(key, step=f"{event.step:,}", count=count)
    waited = recovered and event.remedy == "wait"
    remedy = (
        ""
        if waited
        else say(
            f"banner.memory_{event.remedy}",
            before=f"{event.budget_before:,}",
            after=f"{event.budget_after:,}",
        )
    )
    return Notice("warning", "!", said, remedy=remedy)
