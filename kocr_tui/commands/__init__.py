"""The commands, a file each; what one needs is imported when it is run.

Each function takes the parsed options and returns the exit code.
"""

import argparse
from importlib import import_module

_PLACES = {
    "console": "console.run",
    "demo": "start.demo",
    "train": "start.train",
    "resume": "start.resume",
    "attach": "start.attach",
    "plan": "plan.run",
    "tune": "tune.run",
    "convert": "convert.run",
    "check": "check.run",
    "cache": "cache.run",
    "evaluate": "evaluate.run",
    "runs": "runs.run",
    "status": "status.run",
    "stop": "stop.stop",
    "abort": "stop.abort",
    "predict": "predict.run",
    "export": "export.run",
    "doctor": "doctor.run",
}


def run(options: argparse.Namespace) -> int:
    """Does what ``options.command`` names."""
    module, _dot, function = _PLACES[options.command].partition(".")
    code: int = getattr(import_module(f"{__name__}.{module}"), function)(options)
    return code
