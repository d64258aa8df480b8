"""``kocr-tui predict``: reads signs on photos, and tells each as soon as it is read."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import UsageError
from core.evaluate.text import extract_answer
from core.photo_files import photo_files
from core.reading import PhotoReply, Photos, ReadRequest, Source, Told, read
from core.run_dir import list_runs, runs_folder
from core.visible_text import visible
from kocr_tui.options.reading_source import adapter_source, model_source, run_source
from kocr_tui.plain import report
from kocr_tui.plain.reading_progress import ReadingLine
from kocr_tui.plain.spreadsheet import table
from kocr_tui.strings import say

Show = Callable[[str, PhotoReply], None]
_COLUMNS = ("image", "text", "reply", "why")


def run(options: argparse.Namespace) -> int:
    """Reads the photos; returns 1 where one could not be read, 3 on Ctrl-C."""
    paths = photo_files(options.photos)
    request = ReadRequest(
        source=_source(options),
        work=Photos(paths=tuple(map(os.fsencode, paths)), prompt=options.prompt),
        max_pixels=options.max_pixels,
        batch=options.batch,
    )
    line, failed = ReadingLine(), 0
    with _shown(options) as show:

        def hear(done: int, total: int, told: Told) -> None:
            nonlocal failed
            if told.reply is not None:
                line.clear()
                failed += told.reply.reply is None
                show(paths[told.reply.photo], told.reply)
            line.hear(done, total, told)

        try:
            read(request, hear)
        except KeyboardInterrupt:
            return 3
        finally:
            line.clear()
    if failed:
        said = say("reading.failed", count=f"{failed:,}", total=f"{len(paths):,}")
        print(f"kocr-tui: {said}", file=sys.stderr)
    return 1 if failed else 0


def _source(options: argparse.Namespace) -> Source:
    """What was named to read with, the newest run where nothing was."""
    base = options.base
    if options.adapter is None and options.model is None:
        runs = runs_folder(options.runs)
        if options.run is None and not list_runs(runs):
            raise UsageError(say("reading.no_source", folder=runs))
        return run_source(options.run or "last", runs, options.checkpoint, base=base)
    if options.checkpoint != "best":
        raise UsageError("--checkpoint: only a run has checkpoints; leave it out, or give --run")
    if options.adapter is not None:
        return adapter_source(options.adapter, base=base)
    return model_source(options.model, base=base)


@contextlib.contextmanager
def _shown(options: argparse.Namespace) -> Iterator[Show]:
    """What is done with each reply: lines for people, objects for programs, or rows of a table."""
    if options.csv is None:
        yield _print_json if options.json else _print
        return
    with table(Path(options.csv).expanduser(), _COLUMNS) as write:
        yield lambda path, reply: write(
            [cell or "" for cell in (path, _text(reply), reply.reply, reply.why)]
        )


def _print(path: str, reply: PhotoReply) -> None:
    text = _text(reply)
    if text is None:
        print(f"kocr-tui: {visible(path)}: {visible(reply.why or '')}", file=sys.stderr)
    else:
        print(f"{visible(path)}\t{visible(text)}", flush=True)


def _print_json(path: str, reply: PhotoReply) -> None:
    found = report.plain(reply)
    del found["photo"]
    print(report.as_json({"image": path, "text": _text(reply), **found}), flush=True)


def _text(reply: PhotoReply) -> str | None:
    """The name in the reply."""
    return None if reply.reply is None else extract_answer(reply.reply)
