"""The part of ``kocr-tui evaluate`` that has rows read, by a process of its own."""

import argparse
import sys
from pathlib import Path

from core.errors import UsageError
from core.evaluate.predictions import read_predictions
from core.reading import Evaluation, ReadRequest, Source, read
from core.run_dir import runs_folder
from kocr_tui.options.reading_source import source_of
from kocr_tui.options.run_config import refuse_no_root, refuse_no_rows
from kocr_tui.plain.reading_progress import ReadingLine
from kocr_tui.strings import say


def read_and_score(options: argparse.Namespace) -> int:
    """Reads what isn't read yet and shows the scores; returns 3 with those so far on Ctrl-C."""
    request = _request(options)
    line, code = ReadingLine(), 0
    try:
        read(request, line.hear)
    except KeyboardInterrupt:
        code = 3
    finally:
        line.clear()
    if line.out is not None and Path(line.out).exists():
        _show(options, Path(line.out))
    if code:
        print(f"kocr-tui: {say('reading.interrupted')}", file=sys.stderr)
    return code


def _show(options: argparse.Namespace, out: Path) -> None:
    """The scores of what the file holds, and how many rows it lacks."""
    from kocr_tui.commands.evaluate import show

    found = read_predictions(out)
    if found.header is None:
        return
    show(options, found.header, found.rows, out)
    rows = found.header.rows or len(found.rows)
    if missing := rows - len(found.rows):
        said = say("reading.rows_left", missing=f"{missing:,}", rows=f"{rows:,}")
        print(f"kocr-tui: {said}", file=sys.stderr)


def _request(options: argparse.Namespace) -> ReadRequest:
    """What the options ask for; raises UsageError for what is missing or not there."""
    source, data = _source_and_data(options)
    if data is not None:
        refuse_no_rows(data)
    root = Path(options.root).expanduser() if options.root is not None else None
    refuse_no_root(str(root) if root is not None else None)
    out = Path(options.out).expanduser() if options.out is not None else None
    return ReadRequest(
        source=source,
        work=Evaluation(
            data=str(data.resolve()) if data is not None else None,
            root=str(root.resolve()) if root is not None else None,
            count=options.count,
            seed=options.seed,
            out=str(out.absolute()) if out is not None else None,
            folder=str(Path.cwd()),
        ),
        max_pixels=options.max_pixels,
        batch=options.batch,
    )


def _source_and_data(options: argparse.Namespace) -> tuple[Source, Path | None]:
    if options.what is None:
        raise UsageError(say("reading.no_what"))
    if options.reader is not None:
        if options.data is not None:
            raise UsageError("evaluate --reader takes DATA alone; leave the other out")
        if options.base or options.checkpoint != "best" or options.max_pixels is not None:
            raise UsageError("--base, --checkpoint and --max-pixels are for models of our own")
        return Source(reader=options.reader), Path(options.what).expanduser()
    source = source_of(
        options.what, runs_folder(options.runs), options.checkpoint, base=options.base
    )
    if source.run is None and options.data is None:
        raise UsageError(say("reading.no_data", what=options.what))
    return source, Path(options.data).expanduser() if options.data is not None else None
