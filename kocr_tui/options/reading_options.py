"""Options of both commands that read: which weights, at which size, how many at a time."""

import argparse

from kocr_tui.options.option_types import checkpoint, count


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Of what is named, the base alone or the adapter of one checkpoint."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--base", action="store_true", help="the base model without the adapter")
    which.add_argument(
        "--checkpoint",
        metavar="WHICH",
        type=checkpoint,
        default="best",
        help="of a run: best, last, or a step (default: %(default)s)",
    )


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """The pixel budget, and how many photos are read side by side."""
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        type=count,
        help="pixel budget an image (default: the run's certified one, or the folder's own)",
    )
    parser.add_argument(
        "--batch",
        metavar="N",
        type=count,
        help="photos at a time (default: the certificate's, else 8; fewer where memory runs out)",
    )
