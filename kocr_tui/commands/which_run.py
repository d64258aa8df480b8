"""Which run a command means where none, or only a part of its id, is given."""

import argparse

from core.errors import UsageError
from core.run_dir import RunDir, find_run, list_runs, runs_folder
from kocr_tui.strings import say


def named_or_last(options: argparse.Namespace) -> RunDir:
    """The named run, else the newest; raises UsageError where there is none."""
    return find_run(runs_folder(options.runs), options.run or "last")


def live_or_last(options: argparse.Namespace) -> RunDir:
    """The named run, else the only live one, else the newest."""
    if options.run is None and len(live := _live_runs(options)) == 1:
        return live[0]
    return named_or_last(options)


def named_or_live(options: argparse.Namespace) -> RunDir:
    """The named run, else the only live one; raises UsageError where there is none, or more."""
    if options.run is not None:
        return find_run(runs_folder(options.runs), options.run)
    live = _live_runs(options)
    if not live:
        raise UsageError(say("plain.no_live"))
    if len(live) > 1:
        raise UsageError(say("plain.many_live", runs=", ".join(run.id for run in live)))
    return live[0]


def _live_runs(options: argparse.Namespace) -> list[RunDir]:
    return [run for run in list_runs(runs_folder(options.runs)) if run.worker_pid() is not None]
