"""``kocr-tui convert``: label files to a data set, with a receipt."""

import argparse
import os
from pathlib import Path

from core.data.convert import Request, convert
from core.data.photos import PhotoBook
from core.data.receipt import Receipt
from core.data.survey import PHOTO_CACHE
from core.run_dir import home
from kocr_tui import format as fmt
from kocr_tui.plain import report
from kocr_tui.plain.progress import progress_line
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Converts and tells what became of every row."""
    workers = os.cpu_count() or 1
    request = Request(
        source=Path(options.source),
        out=Path(options.out),
        kind=options.kind,
        validation=Path(options.validation) if options.validation else None,
        share=options.validation_share,
        seed=options.seed,
        images=Path(options.images) if options.images else None,
        template=options.template,
        prompt=options.prompt,
        crops=options.crops,
        force=options.force,
    )
    book = PhotoBook(home() / "cache" / PHOTO_CACHE, workers)
    with progress_line(say("convert.progress")) as tell:
        receipt = convert(request, book, workers, tell)
    if options.json:
        print(report.as_json(report.plain(receipt)))
    else:
        print("\n".join(_lines(receipt, request.out)))
    return 0


def _lines(receipt: Receipt, out: Path) -> list[str]:
    lines = [
        say("convert.rows", inputs=f"{receipt.inputs:,}", kept=f"{receipt.kept:,}"),
        say("convert.split", train=f"{receipt.train:,}", validation=f"{receipt.validation:,}"),
    ]
    if receipt.set_aside:
        lines.append(say("convert.aside", count=f"{receipt.inputs - receipt.kept:,}"))
    width = max((len(reason) for reason in receipt.set_aside), default=0)
    for reason, count in receipt.set_aside.items():
        first = next(row for row in receipt.rows_set_aside if row.reason == reason)
        example = fmt.visible(f"{first.place}: {first.sentence}")
        lines.append(f"  {count:>9,}  {reason:<{width}}  {example}")
    folder = fmt.visible(str(out))
    lines += [say("convert.written", folder=folder), say("convert.next", folder=folder)]
    return lines
