"""``kocr-tui tune``: a new run whose worker proves what fits, and leaves before training."""

import argparse
import contextlib
import sys

import msgspec

from core.errors import KocrError
from core.launch import launch
from core.planning import PlanReport
from core.run_dir import RunDir, create_run, runs_folder
from core.run_watch import watch
from kocr_tui.options.run_config import config_of_options
from kocr_tui.plain import report
from kocr_tui.plain.follow import follow
from kocr_tui.plain.plan_report import lines
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Tunes and shows the setups; returns the worker's exit code where it didn't end well."""
    tuned = create_run(runs_folder(options.runs), config_of_options(options))
    watched = watch(tuned)
    launch(tuned, tune_only=True)
    # Standard output is one JSON object then, and the lines of progress go beside it.
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        print(say("plan.tuning", run=tuned.id), flush=True)
        if options.detach:
            return 0
        if (code := follow(watched)) != 0:
            return code
    plan = read_plan(tuned)
    if options.json:
        print(report.as_json({"run": tuned.id, **report.plain(plan)}))
        return 0
    fixed = tuned.config().tune.max_pixels is not None
    print("", *lines(plan, why=options.why, fixed=fixed), "", sep="\n")
    print(say("plan.resume", run=tuned.id))
    return 0


def read_plan(run: RunDir) -> PlanReport:
    """What tuning left in the run's folder; raises KocrError if it isn't there or is broken."""
    try:
        return msgspec.json.decode(run.plan_file.read_bytes(), type=PlanReport)
    except FileNotFoundError:
        raise KocrError(f"{run.plan_file}: the worker left no plan; see {run.log_file}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KocrError(f"{run.plan_file}: not a plan: {error}") from error
