"""What an event says, in the language in use."""

from core.events import Change, Difference, Finished
from kocr_tui import format as fmt
from kocr_tui.strings import say

TOLD_CHANGES = 3


def last_word(event: Finished) -> str:
    """How a worker left: ``done: trained 24 steps``."""
    message = message_of(event)
    state = say(f"state.{event.state}")
    return f"{state}: {message}" if message else state


def message_of(event: Finished) -> str:
    """What a worker said as it left; the usual ends in the language in use."""
    match event:
        case Finished(state="done"):
            return say("finished.done", steps=f"{event.step:,}")
        case Finished(state="stopped", exit_code=0):
            return say("finished.tuned")
        case Finished(state="stopped") if event.step > 0:
            return say("finished.kept", steps=f"{event.step:,}")
        case Finished(state="stopped"):
            return say("finished.stopped")
        case Finished(state="aborted", asked="abort"):
            return say("finished.aborted")
        case _:
            return fmt.visible(event.message)


def changes_in_words(changes: tuple[Change, ...] | tuple[Difference, ...]) -> str:
    """``driver 570.86 → 580.10, other data``; of many changes the first few and their number."""
    told = ", ".join(map(_change_in_words, changes[:TOLD_CHANGES]))
    more = len(changes) - TOLD_CHANGES
    return f"{told}, {say('changed.more', count=more)}" if more > 0 else told


def _change_in_words(change: Change | Difference) -> str:
    known = {
        "certificate": "changed.certificate",
        "extremes": "changed.data",
        "profile.name": "changed.card",
        "driver": "changed.driver",
        "limit_bytes": "changed.memory",
    }
    first, _, rest = change.name.partition(".")
    key = known.get(change.name, "changed.other")
    name = rest if first == "versions" else change.name
    before, now = fmt.visible(change.before or "–"), fmt.visible(change.now or "–")
    return say(key, name=fmt.visible(name), before=before, now=now)


def difference_in_words(one: Difference) -> str:
    """``config-changed: train.seed = 1 → train.seed = 2``."""
    name, before, now = map(fmt.visible, (one.name, one.before, one.now))
    return f"{name}: {before} → {now}"
