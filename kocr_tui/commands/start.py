"""Commands that start a worker or look at one: ``demo``, ``train``, ``resume``, ``attach``."""

import argparse
import time

from core.errors import UsageError
from core.launch import launch, prepare_demo
from core.run_dir import RunDir, create_run, runs_folder
from core.run_watch import has_further_epochs, watch
from core.visible_text import visible
from kocr_tui.commands.console import has_terminal, look_of_options, open_on
from kocr_tui.commands.status import line_of
from kocr_tui.commands.which_run import live_or_last, named_or_last
from kocr_tui.options.run_config import config_of_options
from kocr_tui.plain import report
from kocr_tui.plain.follow import follow
from kocr_tui.settings import Look
from kocr_tui.strings import say


def demo(options: argparse.Namespace) -> int:
    """The whole main job on made signs; its last line is one JSON object."""
    started, look = time.monotonic(), look_of_options(options)
    print(say("plain.demo"), flush=True)
    run = create_run(runs_folder(options.runs), prepare_demo())
    code = _start(run, options, look)
    watched = watch(run)
    if watched.state.final is not None:
        print(report.as_json(report.outcome(watched, time.monotonic() - started)))
    return code


def train(options: argparse.Namespace) -> int:
    """Starts a new run from a TOML file, from options, or from both."""
    look = look_of_options(options)
    run = create_run(runs_folder(options.runs), config_of_options(options))
    return _start(run, options, look)


def resume(options: argparse.Namespace) -> int:
    """Starts a worker on a run that has ended before its last step, or was given more epochs."""
    look, run = look_of_options(options), named_or_last(options)
    run.config()
    watched = watch(run)
    further = has_further_epochs(run, watched.state.trained_epochs)
    if watched.live_state() == "done" and not further:
        state, request = say("state.done"), say("action.resume.title")
        raise UsageError(say("plain.not_running", run=run.id, request=request, state=state))
    return _start(run, options, look, tuple(dict.fromkeys(options.allow)))


def attach(options: argparse.Namespace) -> int:
    """The console, or plain lines, on a run."""
    run = live_or_last(options)
    if has_terminal() and not options.headless:
        return open_on(run, look_of_options(options))
    watched = watch(run)
    if watched.worker_pid() is None:
        print(line_of(watched))
        return 0
    return follow(watched)


def _start(
    run: RunDir, options: argparse.Namespace, look: Look, allow: tuple[str, ...] = ()
) -> int:
    """Launches the worker and shows it as the options and the terminal allow."""
    watched = watch(run)
    launch(run, allow=allow)
    print(say("plain.detached", run=visible(run.id)), flush=True)
    if options.detach:
        return 0
    if has_terminal() and not options.headless:
        return open_on(run, look)
    return follow(watched)
