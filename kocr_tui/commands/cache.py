"""``kocr-tui cache``: fills the vision-feature cache of a run or of a config."""

import argparse
from pathlib import Path

from core.config import read_config
from core.errors import UsageError
from core.launch import busy_message, fill_cache
from core.run_dir import find_run, runs_folder
from kocr_tui.options.run_config import refuse_what_is_not_there


def run(options: argparse.Namespace) -> int:
    """Fills the cache in the foreground; raises UsageError while a worker is on the run."""
    if options.run.endswith(".toml"):
        refuse_what_is_not_there(read_config(Path(options.run)))
        return fill_cache(Path(options.run))
    named = find_run(runs_folder(options.runs), options.run)
    if (pid := named.worker_pid()) is not None:
        raise UsageError(busy_message(named, pid))
    return fill_cache(named.path)
