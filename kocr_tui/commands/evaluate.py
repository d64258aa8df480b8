"""``kocr-tui evaluate``: scores what was read, or has it read first; compares predictions."""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.data.photos import PhotoBook
from core.data.survey import PHOTO_CACHE
from core.errors import UsageError
from core.evaluate.compare import compare
from core.evaluate.labels import labelled_rows
from core.evaluate.predictions import Header, ReadRow, read_predictions, write_predictions
from core.evaluate.replies import as_read_rows, read_replies
from core.evaluate.summary import scored, summarize, with_scores
from core.run_dir import home
from kocr_tui import format as fmt
from kocr_tui.options.run_config import refuse_no_root
from kocr_tui.plain import report, scores_report
from kocr_tui.plain.progress import progress_line
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Compares files, scores replies made elsewhere, or reads and scores; returns the exit code."""
    if options.compare is not None:
        return _compare(options)
    if options.predictions is None:
        from kocr_tui.commands.evaluate_reading import read_and_score

        return read_and_score(options)
    try:
        header, rows = _replies(options)
    except KeyboardInterrupt:
        print(f"kocr-tui: {say('scores.interrupted')}", file=sys.stderr)
        return 3
    out = Path(options.out).expanduser() if options.out is not None else None
    if out is not None:
        write_predictions(out, header, rows)
    show(options, header, rows, out)
    return 0


def show(
    options: argparse.Namespace, header: Header, rows: Sequence[ReadRow], out: Path | None
) -> None:
    """Prints the scores of rows as the options ask, and writes the page.

    ``out`` is where the predictions are kept, if they are.
    """
    rows = with_scores(rows)
    summary = summarize(rows)
    said = _page(options, {header.reader: (header, rows)})
    if options.json:
        print(report.as_json(scores_report.document(summary, rows if options.rows else None)))
        return
    kept = [say("scores.kept", path=fmt.visible(str(out)))] if out is not None else []
    print("\n".join([*scores_report.lines(summary, header.reader), *kept, *said]))


def _page(
    options: argparse.Namespace, sets: Mapping[str, tuple[Header | None, Sequence[ReadRow]]]
) -> list[str]:
    """Writes the page where one is asked for, and returns what there is to say of it."""
    if options.page is None:
        return []
    from kocr_tui.commands import evaluate_page

    root = os.path.realpath(Path(options.root).expanduser()) if options.root is not None else None
    return [evaluate_page.write(Path(options.page).expanduser(), sets, root)]


def _replies(options: argparse.Namespace) -> tuple[Header, list[ReadRow]]:
    """The scored rows of a file of replies, brought to the data's where those are given."""
    source = Path(options.predictions).expanduser()
    data = options.data or options.what
    if options.data is not None and options.what is not None:
        raise UsageError("evaluate --predictions FILE takes one DATA beside it")
    if data is None:
        return _own(source)
    root = str(Path(options.root).expanduser()) if options.root is not None else None
    refuse_no_root(root)
    path = Path(data).expanduser()
    replies = read_replies(source)
    book = PhotoBook(home() / "cache" / PHOTO_CACHE)
    with progress_line(say("scores.progress")) as tell:
        labelled = labelled_rows(path, book, root=root, tell=tell)
    rows = as_read_rows(
        labelled,
        replies,
        source,
        hashes=options.out is not None or options.page is not None,
        count=options.count,
        seed=options.seed or 0,
    )
    header = Header(
        reader=source.name,
        data=str(path.resolve()),
        rows=len(rows),
        versions={"kocr-tui": importlib.metadata.version("kocr-tui")},
    )
    return header, [scored(row) for row in rows]


def _own(source: Path) -> tuple[Header, list[ReadRow]]:
    found = read_predictions(source)
    if not found.rows:
        raise UsageError(f"{source}: has no rows of ours; give DATA, whose rows it is about")
    header = found.header or Header(reader=source.name)
    return header, [scored(row) for row in found.rows]


def _compare(options: argparse.Namespace) -> int:
    names = [str(Path(name).expanduser()) for name in options.compare]
    if len(names) < 2 or options.what is not None:
        raise UsageError("--compare takes two files of predictions or more, and nothing beside")
    if len(set(names)) < len(names):
        raise UsageError(f"{names[0]}: --compare takes each file once")
    sets = {}
    for name in names:
        found = read_predictions(Path(name))
        if not found.rows:
            raise UsageError(f"{name}: no predictions in it; `evaluate … --out FILE` writes some")
        sets[name] = found.header, [scored(row) for row in found.rows]
    comparison = compare({name: rows for name, (_header, rows) in sets.items()})
    said = _page(options, sets)
    if options.json:
        print(report.as_json(report.plain(comparison)))
    else:
        print("\n".join([*scores_report.comparison_lines(comparison), *said]))
    return 0
