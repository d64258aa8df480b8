"""What each command does; every function takes the parsed options and returns an exit code."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import read_config
from core.errors import KocrError, UsageError
from core.events import Request
from core.launch import busy_message, fill_cache, launch, prepare_demo
from core.run_dir import RunDir, create_run, find_run, list_runs, runs_folder
from core.run_state import RunWatch, watch
from kocr_tui import report, status_command
from kocr_tui.follow import died, follow
from kocr_tui.run_config import config_of_options, refuse_what_is_not_there
from kocr_tui.status_command import line_of
from kocr_tui.strings import say, use_language
from kocr_tui.words import message_of

if TYPE_CHECKING:
    from kocr_tui.settings import Look

Command = Callable[[argparse.Namespace], int]
_STOP_SECONDS = 120.0
_ABORT_SECONDS = 15.0
_POLL_SECONDS = 0.2


def console(options: argparse.Namespace) -> int:
    """The console on all runs, in the terminal or in a browser."""
    look = _look(options)
    if options.web:
        from kocr_tui.web import serve

        return serve(options)
    if not _has_terminal():
        raise UsageError("no terminal to draw on; `kocr-tui --help` lists commands that need none")
    from kocr_tui.app import run_console

    return run_console(runs_folder(options.runs), look=look)


def demo(options: argparse.Namespace) -> int:
    """The whole main job on made signs; its last line is one JSON object."""
    started, look = time.monotonic(), _look(options)
    print(say("plain.demo"), flush=True)
    run = create_run(runs_folder(options.runs), prepare_demo())
    code = _start(run, options, look)
    watched = watch(run)
    if watched.state.final is not None:
        print(report.as_json(report.outcome(watched, time.monotonic() - started)))
    return code


def plan(options: argparse.Namespace) -> int:
    """Predicts what every setup takes, and how fast it is."""
    from kocr_tui.plan_command import run

    return run(options)


def tune(options: argparse.Namespace) -> int:
    """Makes a run and proves what fits the card, without training yet."""
    from kocr_tui.tune_command import run

    return run(options)


def train(options: argparse.Namespace) -> int:
    """Starts a new run from a TOML file, from options, or from both."""
    look = _look(options)
    run = create_run(runs_folder(options.runs), config_of_options(options))
    return _start(run, options, look)


def resume(options: argparse.Namespace) -> int:
    """Starts a worker on a run that has ended before its last step."""
    look, run = _look(options), _named_or_last(options)
    run.config()
    if watch(run).live_state() == "done":
        state, request = say("state.done"), say("action.resume.title")
        raise UsageError(say("plain.not_running", run=run.id, request=request, state=state))
    return _start(run, options, look)


def attach(options: argparse.Namespace) -> int:
    """The console, or plain lines, on a run."""
    run = _live_or_last(options)
    watched = watch(run)
    if _has_terminal() and not options.headless:
        return _open_console(run, _look(options))
    if watched.worker_pid() is None:
        print(line_of(watched))
        return 0
    return follow(watched)


def runs(options: argparse.Namespace) -> int:
    """All runs, the newest first."""
    folder = runs_folder(options.runs)
    found = [watch(run) for run in list_runs(folder)]
    if options.json:
        print(report.as_json([report.status(watched) for watched in found]))
    elif not found:
        print(say("plain.no_runs", folder=folder))
    for watched in [] if options.json else found:
        print(line_of(watched))
    return 0


def status(options: argparse.Namespace) -> int:
    """Where one run stands."""
    return status_command.run(options, _live_or_last(options))


def stop(options: argparse.Namespace) -> int:
    """Asks for a checkpoint and waits until the worker has left."""
    return _ask(options, "stop", _STOP_SECONDS)


def abort(options: argparse.Namespace) -> int:
    """Asks the worker to leave at once; one that doesn't answer is killed."""
    return _ask(options, "abort", _ABORT_SECONDS)


def convert(options: argparse.Namespace) -> int:
    """Makes a data set of label files."""
    from kocr_tui.convert_command import run

    return run(options)


def check(options: argparse.Namespace) -> int:
    """Audits a data set."""
    from kocr_tui.check_command import run

    return run(options)


def cache(options: argparse.Namespace) -> int:
    """Fills the vision-feature cache of a run or of a config."""
    if options.run.endswith(".toml"):
        refuse_what_is_not_there(read_config(Path(options.run)))
        return fill_cache(Path(options.run))
    run = find_run(runs_folder(options.runs), options.run)
    if (pid := run.worker_pid()) is not None:
        raise UsageError(busy_message(run, pid))
    return fill_cache(run.path)


def doctor(options: argparse.Namespace) -> int:
    """What this box can do; exit code 1 if something is wrong that stops training."""
    import json

    from core.hardware.doctor import examine
    from kocr_tui.doctor_report import findings_text

    findings = examine(runs_folder(options.runs))
    if options.json:
        # In ASCII, since a locale that can't show more is one of the findings.
        print(json.dumps([report.plain(finding) for finding in findings]))
    else:
        print(findings_text(findings))
    return 1 if any(finding.state == "failure" for finding in findings) else 0


def _look(options: argparse.Namespace) -> "Look":
    """How a console is to look; before anything is started, since console.toml may be wrong."""
    from kocr_tui.settings import look_of

    look = look_of(options.theme, options.ascii, options.lang)
    use_language(look.language)
    return look


def _start(run: RunDir, options: argparse.Namespace, look: "Look") -> int:
    """Launches the worker and shows it as the options and the terminal allow."""
    watched = watch(run)
    launch(run)
    print(say("plain.detached", run=run.id), flush=True)
    if options.detach:
        return 0
    if _has_terminal() and not options.headless:
        return _open_console(run, look)
    return follow(watched)


def _open_console(run: RunDir, look: "Look") -> int:
    from kocr_tui.app import run_console

    return run_console(run.path.parent, run.id, look=look)


def _ask(options: argparse.Namespace, request: Request, patience: float) -> int:
    run = _live(options)
    watched = watch(run)
    pid = watched.worker_pid()
    if pid is None:
        state, asked = say(f"state.{watched.live_state()}"), say(f"request.{request}")
        raise UsageError(say("plain.not_running", run=run.id, request=asked, state=state))
    run.request(request)
    if not _gone_within(watched, patience):
        if request == "stop":
            raise KocrError(say("plain.slow", run=run.id, seconds=f"{patience:.0f}"))
        pid = watched.worker_pid() or 0
        if pid <= 0:
            raise KocrError(say("plain.slow", run=run.id, seconds=f"{patience:.0f}"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        print(say("plain.killed", run=run.id, seconds=f"{patience:.0f}"), file=sys.stderr)
        _gone_within(watched, patience)
    watched.poll()
    if options.json:
        print(report.as_json(report.status(watched)))
    elif watched.state.finished is not None:
        print(say("plain.left", run=run.id, state=message_of(watched.state.finished)))
    else:
        print(died(watched))
    return 0


def _gone_within(watched: RunWatch, seconds: float) -> bool:
    """Whether the worker leaves in time."""
    tick = threading.Event()
    deadline = time.monotonic() + seconds
    while watched.worker_pid() is not None:
        if time.monotonic() > deadline:
            return False
        tick.wait(_POLL_SECONDS)
    return True


def _named_or_last(options: argparse.Namespace) -> RunDir:
    return find_run(runs_folder(options.runs), options.run or "last")


def _live_or_last(options: argparse.Namespace) -> RunDir:
    if options.run is None and len(live := _live_runs(options)) == 1:
        return live[0]
    return _named_or_last(options)


def _live(options: argparse.Namespace) -> RunDir:
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


def _has_terminal() -> bool:
    """Whether there is a terminal, or a browser that stands for one."""
    return "TEXTUAL_DRIVER" in os.environ or (sys.stdin.isatty() and sys.stdout.isatty())
