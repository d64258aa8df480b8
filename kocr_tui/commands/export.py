"""``kocr-tui export``: a run's adapter, or merged weights, for other tools."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from core.exporting import ExportReport, ExportRequest, export
from core.run_dir import find_run, runs_folder
from kocr_tui import format as fmt
from kocr_tui.plain import report
from kocr_tui.plain.progress import told_line
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Exports and tells what was written; returns 3 on Ctrl-C."""
    request = ExportRequest(
        run=str(find_run(runs_folder(options.runs), options.run).path),
        out=str(Path(options.out).expanduser().absolute()),
        merge=options.merge,
        checkpoint=options.checkpoint,
        force=options.force,
        verify=options.verify,
    )
    try:
        with told_line(say("export.progress")) as tell:
            done = export(request, tell)
    except KeyboardInterrupt:
        print(f"kocr-tui: {say('export.interrupted')}", file=sys.stderr)
        return 3
    if options.json:
        told = report.plain(done)
        print(report.as_json({"out": told["out"], "warnings": told["warnings"], **told["export"]}))
    else:
        print("\n".join(_lines(done)))
    return 0


def _lines(done: ExportReport) -> Iterator[str]:
    made = done.export
    for warning in done.warnings:
        yield f"! {fmt.visible(warning)}"
    size = fmt.size(sum(record.bytes for record in made.files.values()))
    yield say(
        "export.written",
        folder=fmt.visible(done.out),
        kind=say(f"export.kind.{made.kind}"),
        step=f"{made.step:,}",
        size=size,
    )
    yield say("export.base", base=fmt.visible(made.base), pixels=f"{made.max_pixels:,}")
    if made.verified is None:
        yield f"! {say('export.not_verified')}"
        return
    yield say("export.verified", rows=made.verified.rows)
    yield say(
        f"export.changed.{made.kind}",
        changed=made.verified.changed,
        rows=made.verified.rows,
        weights=made.verified.weights,
    )
