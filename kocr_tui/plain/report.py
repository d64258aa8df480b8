"""What the commands tell programs: JSON objects with stable keys."""

import json
import re
import sys
from typing import Any

import msgspec

from core.events import FINAL_STATES, CardTrouble, Finished, SaveFailed, Setup
from core.profile import GIB
from core.run_watch import RunWatch
from core.visible_text import is_without_form

_FOREIGN = re.compile(r"[^\x20-\x7e]")


def status(watch: RunWatch) -> dict[str, Any]:
    """Where a run stands: memory in GiB, times in seconds, scores as fractions.

    ``save_failure`` and ``throttled`` are troubles of now: they end with their run.
    """
    state, live = watch.state, watch.live_state()
    faults, over = state.faults, live in FINAL_STATES
    last = state.steps[-1] if state.steps else None
    return {
        "run": watch.run.id,
        "state": live,
        "step": state.step,
        "steps": state.training.steps if state.training else None,
        "epoch": last.epoch if last else None,
        "samples_per_s": last.samples_per_s if last else None,
        "eta_s": last.eta_s if last else None,
        "loss": last.loss if last else None,
        "memory": {
            "used_gib": last.used_bytes / GIB if last else None,
            "peak_gib": last.peak_bytes / GIB if last else None,
            "limit_gib": last.limit_bytes / GIB if last else None,
        },
        "validation": plain(state.latest_scores),
        "checkpoint_step": state.checkpoint_step,
        "refused": plain(state.refused)["differences"] if state.refused else None,
        "skipped_steps": faults.skipped_steps,
        "rollbacks": faults.rollbacks,
        "save_failure": _message(None if over else faults.save_failed),
        "throttled": _message(None if over else faults.throttled),
        "message": _message(state.finished),
    }


def _message(event: SaveFailed | CardTrouble | Finished | None) -> str | None:
    return event.message if event is not None else None


def outcome(watch: RunWatch, seconds: float) -> dict[str, Any]:
    """What a whole run came to: the setup that was chosen, and the scores before and after."""
    state = watch.state
    choice: Setup | None = state.tuned.choice if state.tuned else None
    return {
        "run": watch.run.id,
        "choice": plain(choice),
        "probes": state.tuned.probes if state.tuned else None,
        "baseline": plain(state.baseline.scores) if state.baseline else None,
        "final": plain(state.final.scores) if state.final else None,
        "seconds": round(seconds, 1),
    }


def plain(value: msgspec.Struct | None) -> Any:
    """A struct as dictionaries and lists."""
    return None if value is None else msgspec.to_builtins(value)


def as_json(value: object) -> str:
    """One line of JSON, Hangul as it is where standard output can show it, no controls raw."""
    text = _FOREIGN.sub(_escaped, json.dumps(value, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return json.dumps(character)[1:-1] if is_without_form(character) else character
