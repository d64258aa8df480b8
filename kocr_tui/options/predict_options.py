"""Options of ``kocr-tui predict``: which photos, what reads them, and in which form."""

import argparse

from kocr_tui.options.reading_options import add_bounds, add_weights

PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."
EPILOG = (
    "exit code 1: a photo could not be read; --csv is UTF-8 that spreadsheets know by its mark, "
    "and a cell that one would take for a formula begins with an apostrophe"
)


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """What ``predict`` takes; which of it goes together is for the command to say."""
    parser.epilog = EPILOG
    parser.add_argument(
        "photos", metavar="IMAGE|FOLDER", nargs="+", help="photos, or folders of photos and below"
    )
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--run", help="a run by its id, a start or end of it (default: the newest)"
    )
    sources.add_argument("--adapter", metavar="DIR", help="an adapter's folder (peft)")
    sources.add_argument("--model", metavar="NAME", help="a base model: a folder or hub id")
    add_weights(parser)
    add_bounds(parser)
    parser.add_argument("--prompt", default=PROMPT, help="what is asked (default: %(default)s)")
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--json", action="store_true", help="print a JSON object a photo")
    outputs.add_argument("--csv", metavar="FILE", help="write a table for spreadsheets")
