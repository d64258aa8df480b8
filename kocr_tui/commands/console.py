"""``kocr-tui`` alone: the console on all runs, in the terminal or in a browser."""

import argparse
import os
import sys

from core.errors import UsageError
from core.run_dir import RunDir, runs_folder
from kocr_tui.settings import Look, look_of
from kocr_tui.strings import use_language


def run(options: argparse.Namespace) -> int:
    """Opens the console; raises UsageError where there is nothing to draw on."""
    look = look_of_options(options)
    if options.web:
        from kocr_tui.web import serve

        return serve(options)
    if not has_terminal():
        raise UsageError("no terminal to draw on; `kocr-tui --help` lists commands that need none")
    from kocr_tui.app import run_console

    return run_console(runs_folder(options.runs), look=look)


def open_on(run: RunDir, look: Look) -> int:
    """Opens the console on one run."""
    from kocr_tui.app import run_console

    return run_console(run.path.parent, run.id, look=look)


def look_of_options(options: argparse.Namespace) -> Look:
    """How a console is to look; asked before anything starts, since console.toml may be wrong."""
    look = look_of(options.theme, options.ascii, options.lang)
    use_language(look.language)
    return look


def has_terminal() -> bool:
    """Whether there is a terminal, or a browser that stands for one."""
    return "TEXTUAL_DRIVER" in os.environ or (sys.stdin.isatty() and sys.stdout.isatty())
