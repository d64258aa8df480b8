"""Options of ``kocr-tui evaluate``: what reads which rows, or which predictions are scored."""

import argparse

from kocr_tui.options.option_types import count, reader
from kocr_tui.options.reading_options import add_bounds, add_weights
from kocr_tui.options.run_options import add_root

EPILOG = """\
evaluate RUN [DATA]              a run's best checkpoint on its validation rows, or on DATA
evaluate ADAPTER|MODEL DATA      an adapter's folder, a model's folder or hub id
evaluate DATA --reader READER    another program by the same yardstick
evaluate DATA --predictions FILE replies made elsewhere, a line {"image" or "id", "reply"}
evaluate --compare A B [C ...]   predictions of the same rows against those of the first file

exit code 3: stopped with the figures so far; the same command goes on from there"""


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """What ``evaluate`` takes; which of it goes together is for the command to say."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "what",
        metavar="RUN|ADAPTER|MODEL|DATA",
        nargs="?",
        help="a run by its id, a start or end of it, or 'last'; a folder or hub id; or rows",
    )
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSONL of rows (Qwen2-VL chats)")
    _add_sources(parser)
    add_weights(parser)
    add_bounds(parser)
    parser.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=count,
        help="read N rows, drawn by the seed (default: all)",
    )
    parser.add_argument("--seed", type=int, help="draws them (default: the run's, else 0)")
    add_root(parser)
    _add_outputs(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--reader",
        type=reader,
        help="another reader: tesseract, donut:PATH, transformers:PATH (a folder or hub id)",
    )
    sources.add_argument("--predictions", metavar="FILE", help="score the replies in this JSONL")
    sources.add_argument(
        "--compare", metavar="FILE", nargs="+", help="compare predictions, row by row"
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="predictions as JSONL (default: in the run's predictions, else in this folder; "
        "with --predictions: none)",
    )
    parser.add_argument(
        "--page", metavar="FILE", help="write a page with charts and misses (HTML, self-contained)"
    )
    parser.add_argument("--rows", action="store_true", help="with --json: every row as well")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
