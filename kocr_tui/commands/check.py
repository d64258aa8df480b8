"""``kocr-tui check``: what a data set is like, and what is wrong with it."""

import argparse
import sys
from pathlib import Path

from core.data.audit.audit import audit
from core.data.photos import PhotoBook
from core.data.survey import PHOTO_CACHE
from core.run_dir import home
from kocr_tui.options.run_config import refuse_no_root
from kocr_tui.plain import report
from kocr_tui.plain.check_report import lines
from kocr_tui.plain.progress import progress_line
from kocr_tui.strings import say


def run(options: argparse.Namespace) -> int:
    """Audits and returns 1 if something is wrong with the data."""
    root = str(Path(options.root).expanduser()) if options.root is not None else None
    refuse_no_root(root)
    book = PhotoBook(home() / "cache" / PHOTO_CACHE)
    try:
        with progress_line(say("check.progress")) as tell:
            found = audit(
                Path(options.data),
                Path(options.validation) if options.validation else None,
                book,
                model=options.model,
                family=options.family,
                tell=tell,
                root=root,
            )
    except KeyboardInterrupt:
        print(f"kocr-tui: {say('check.interrupted')}", file=sys.stderr)
        return 3
    if options.json:
        print(report.as_json(report.plain(found)))
    else:
        print("\n".join(lines(found)))
    return 1 if found.failed(strict=options.strict) else 0
