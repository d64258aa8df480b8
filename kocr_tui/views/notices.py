"""What is wrong with a run, asked of it or over, the most urgent first, and what to do."""

import re
from collections.abc import Iterator

from core.errors import GpuLostError
from core.events import FINAL_STATES, Finished
from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views.fault_notices import lived_with, save_failed
from kocr_tui.views.notice import Notice
from kocr_tui.views.run_view import RunView
from kocr_tui.words import changes_in_words, difference_in_words, message_of

# What a log ends with where the process itself knew why it went.
_REASON = re.compile(r"error|exception|fatal|abort|fault|killed", re.IGNORECASE)


def notices(view: RunView) -> list[Notice]:
    """All of them, the most urgent first; empty where there is nothing to say."""
    if view.pulse.gone:
        return [Notice("error", "✗", say("banner.gone", run=fmt.visible(view.run_id)))]
    return [*_ends(view), *_dangers(view), *_requests(view), *_troubles(view)]


def _ends(view: RunView) -> Iterator[Notice]:
    if view.live not in FINAL_STATES:
        return
    finished, resume = view.state.finished, say("banner.resume", kept=_kept(view))
    tail = tuple(map(fmt.visible, view.pulse.log_tail))
    message = message_of(finished) if finished else ""
    if view.live == "died":
        updated = view.state.updated_at
        age = fmt.duration(view.now - updated) if updated is not None else fmt.NOTHING
        hint = "" if any(map(_REASON.search, tail)) else say("banner.died_hint")
        yield Notice("error", "✗", say("banner.died", age=age), tail, resume, hint)
    elif _gpu_lost(finished):
        said = say("banner.gpu_lost", message=message)
        yield Notice("error", "✗", said, tail, say("banner.gpu_lost_remedy", kept=_kept(view)))
    elif view.state.refused is not None:
        lines = tuple(map(difference_in_words, view.state.refused.differences))
        yield Notice("error", "✗", say("banner.refused"), lines, say("banner.refused_remedy"))
    elif view.live == "failed":
        yield Notice("error", "✗", f"{say('state.failed')}: {message}", tail, resume)
    elif view.live == "done":
        yield Notice("success", "✓", f"{say('banner.done')} {message}")
    else:
        said = f"{say(f'state.{view.live}')}: {message}"
        yield Notice("warning", "■", said, remedy=resume)


def _kept(view: RunView) -> str:
    step = view.state.checkpoint_step
    return say("banner.kept", step=step) if step else say("banner.nothing_kept")


def _gpu_lost(finished: Finished | None) -> bool:
    return finished is not None and finished.exit_code == GpuLostError.exit_code


def _dangers(view: RunView) -> Iterator[Notice]:
    """What ends the run, or keeps it from going on."""
    around = view.pulse.around
    if around.lost_cards and view.live not in FINAL_STATES:
        names = ", ".join(fmt.visible(name or say("card.unnamed")) for name in around.lost_cards)
        remedy = say("banner.card_lost_remedy")
        yield Notice("error", "✗", say("banner.card_lost", name=names), remedy=remedy)
    disk = around.disk
    if (failure := save_failed(view)) is not None:
        yield failure
    elif disk is not None and disk.is_full and view.live != "done":
        sizes = {"free": fmt.size(disk.free_bytes), "needed": fmt.size(disk.checkpoint_bytes)}
        remedy = say("banner.disk_remedy")
        yield Notice("error", "✗", say("banner.disk_full", **sizes), remedy=remedy)
    if around.config_problem and not around.newer_config:
        said = say("banner.config", problem=fmt.visible(around.config_problem))
        yield Notice("error", "✗", said, remedy=say("banner.config_remedy"))


def _requests(view: RunView) -> Iterator[Notice]:
    if (asked := view.asked_line()) is not None:
        yield Notice("warning", "?", asked)
    if view.pulse.slow:
        said = say("banner.slow", age=fmt.duration(view.pulse.heartbeat_age), pid=view.pulse.pid)
        yield Notice("warning", "!", said, remedy=say("banner.slow_remedy"))


def _troubles(view: RunView) -> Iterator[Notice]:
    """What the run lives with."""
    state, around = view.state, view.pulse.around
    if state.voided is not None:
        said = say("banner.voided", changes=changes_in_words(state.voided.changes))
        over = view.live in FINAL_STATES
        remedy = say("banner.voided_resume" if over else "banner.voided_remedy")
        yield Notice("warning", "!", said, remedy=remedy)
    yield from lived_with(view)
    disk = around.disk
    if disk is not None and not disk.is_full and view.live != "done":
        key = "banner.disk_low" if disk.checkpoint_bytes else "banner.disk_low_first"
        sizes = {"free": fmt.size(disk.free_bytes), "needed": fmt.size(disk.checkpoint_bytes)}
        yield Notice("warning", "!", say(key, **sizes), remedy=say("banner.disk_remedy"))
    if around.newer_config or view.pulse.newer_lines:
        yield Notice("warning", "!", say("banner.newer"), remedy=say("banner.newer_remedy"))
    if view.pulse.problems:
        problem = fmt.visible(view.pulse.problems[-1])
        said = say("banner.problem", count=len(view.pulse.problems), problem=problem)
        yield Notice("warning", "!", said)
