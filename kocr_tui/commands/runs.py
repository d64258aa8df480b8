"""``kocr-tui runs``: all runs, the newest first."""

import argparse

from core.run_dir import list_runs, runs_folder
from core.run_watch import watch
from core.visible_text import visible
from kocr_tui.commands.status import line_of
from kocr_tui.plain import report
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """A line a run, or one JSON list."""
    folder = runs_folder(options.runs)
    found = [watch(run) for run in list_runs(folder)]
    if options.json:
        print(report.as_json([report.status(watched) for watched in found]))
        return 0
    if not found:
        print(say("plain.no_runs", folder=visible(str(folder))))
    for watched in found:
        print(line_of(watched))
    return 0
