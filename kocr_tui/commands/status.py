"""`status`: where a run stands, once, or again and again for as long as it goes on."""

import argparse
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any

from core.errors import KocrError
from core.run_watch import RunWatch, watch
from kocr_tui import format as fmt
from kocr_tui.commands.which_run import live_or_last
from kocr_tui.plain import report
from kocr_tui.plain.follow import died
from kocr_tui.strings import say
from kocr_tui.words import message_of

WATCH_SECONDS = 1.0


def run(options: argparse.Namespace) -> int:
    """Prints where a run stands; with --watch until it ends, and returns its exit code.

    Ctrl+C ends the watching with 0 and leaves the run alone. Raises KocrError if the run dies
    without a word, or its folder goes, while it's watched.
    """
    found = live_or_last(options)
    if not options.watch:
        watched = watch(found)
        print(report.as_json(report.status(watched)) if options.json else line_of(watched))
        return 0
    in_place = sys.stdout.isatty() and not options.json
    show = _in_place if in_place else _Changes().show
    try:
        return _follow(RunWatch(found), _json_of if options.json else line_of, show)
    except KeyboardInterrupt:
        return 0
    finally:
        if in_place:
            print(flush=True)


def _follow(watched: RunWatch, tell: Callable[[RunWatch], str], show: Callable[[str], None]) -> int:
    tick = threading.Event()
    while True:
        # Asked before the events are read: a last word may come in between.
        alive = watched.worker_pid() is not None
        watched.catch_up()
        if not watched.run.path.is_dir():
            raise KocrError(say("plain.gone", run=fmt.visible(watched.run.id)))
        show(tell(watched))
        if not alive:
            if watched.state.finished is not None:
                return watched.state.finished.exit_code
            if watched.live_state() == "died":
                raise KocrError(died(watched))
        tick.wait(WATCH_SECONDS)


def _in_place(line: str) -> None:
    columns = shutil.get_terminal_size().columns - 1
    print("\r" + fmt.pad(line, columns), end="", flush=True)


class _Changes:
    """Prints a line where it isn't the one before."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, line: str) -> None:
        if line != self._last:
            self._last = line
            print(line, flush=True)


def _json_of(watched: RunWatch) -> str:
    return report.as_json(report.status(watched))


def line_of(watched: RunWatch) -> str:
    """One line for people, in the language in use."""
    status, finished = report.status(watched), watched.state.finished
    parts = [fmt.visible(status["run"]), say(f"state.{status['state']}")]
    parts.append(f"{status['step']}/{status['steps'] or '?'}")
    if status["samples_per_s"] and status["state"] == "training":
        parts.append(say("plain.rate", rate=fmt.rate(status["samples_per_s"])))
        parts.append(say("plain.eta", eta=fmt.duration(status["eta_s"])))
    scores = watched.state.latest_scores
    if scores is not None:
        parts.append(say("plain.normalized", share=fmt.percent(scores.normalized, interval=False)))
    parts += _marks(status)
    if finished is not None and (message := message_of(finished)):
        parts.append(message)
    return "  ".join(parts)


def _marks(status: dict[str, Any]) -> list[str]:
    """What is wrong now, and what has gone wrong before, a few words each."""
    skipped, rollbacks = status["skipped_steps"], status["rollbacks"]
    marks = [
        say("plain.mark.save_failed") if status["save_failure"] else "",
        say("plain.mark.throttled") if status["throttled"] else "",
        say("plain.mark.skipped", count=f"{skipped:,}") if skipped else "",
        say("plain.mark.rolled_back", count=f"{rollbacks:,}") if rollbacks else "",
    ]
    return [f"! {mark}" for mark in marks if mark]
