"""``kocr-tui plan``: what every setup would take, predicted without a card."""

import argparse
import sys
from pathlib import Path
from typing import Any

from core import launch, toml_file
from core.errors import UsageError
from core.planning import PlanRequest
from core.profile import load_profile
from kocr_tui.options.run_config import refuse_no_model, refuse_no_root, refuse_no_rows
from kocr_tui.plain import report
from kocr_tui.plain.plan_report import lines
from kocr_tui.plain.progress import told_line
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Plans and shows the setups; returns 3 on Ctrl-C."""
    request = request_of_options(options)
    try:
        with told_line(say("plan.progress")) as tell:
            plan = launch.plan(request, tell)
    except KeyboardInterrupt:
        print(f"kocr-tui: {say('plan.interrupted')}", file=sys.stderr)
        return 3
    if options.json:
        print(report.as_json(report.plain(plan)))
    else:
        print("\n".join(lines(plan, why=options.why, fixed=options.max_pixels is not None)))
    return 0


def request_of_options(options: argparse.Namespace) -> PlanRequest:
    """What the options ask for; raises UsageError for what is missing, wrong or not there."""
    document: dict[str, Any] = {
        "model": _model(options.model),
        "profile": options.profile or "auto",
        "capacity_gib": options.capacity_gib,
        "weights": options.weights,
        "ranks": options.rank,
        "targets": options.targets,
        "checkpointing": options.checkpointing,
        "rows": options.rows,
        "max_pixels": options.max_pixels,
        "hours": options.hours,
        "fastest": options.fastest,
        **_data(options),
    }
    if options.photo is not None:
        document["photo"] = options.photo
    request = toml_file.convert(document, PlanRequest, "options")
    load_profile(request.profile)
    return request


def _model(name: str) -> str:
    refuse_no_model(name)
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name and folder.is_dir() else name


def _data(options: argparse.Namespace) -> dict[str, str]:
    """The files of rows by side, and the root, absolute; a folder has the rows by name."""
    if options.data is None:
        for name in ("validation", "root"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} needs --data DIR|JSONL beside it")
        if options.hours is not None and options.rows is None:
            raise UsageError("--hours needs to know an epoch's rows: give --data, or --rows N")
        return {}
    for name in ("photo", "rows"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for plans without data; leave it or --data out")
    train = Path(options.data).expanduser()
    found = {"train": train}
    if train.is_dir():
        found["train"] = train / "train.jsonl"
        if (train / "validation.jsonl").exists():
            found["validation"] = train / "validation.jsonl"
    if options.validation is not None:
        found["validation"] = Path(options.validation).expanduser()
    for path in found.values():
        refuse_no_rows(path)
    if options.root is not None:
        found["root"] = Path(options.root).expanduser()
        refuse_no_root(str(found["root"]))
    return {name: str(path.resolve()) for name, path in found.items()}
