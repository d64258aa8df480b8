"""The words of ``kocr-tui export``."""

import argparse

from kocr_tui.options.option_types import checkpoint

EXPORT = "a run's adapter, or the base with it merged in, as a folder with a model card"


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """What to export, to where, and how."""
    parser.epilog = (
        "what was written is read again by a process with nothing but transformers and peft: its "
        "tensors, and the replies on 20 validation photos, must be those of the model in memory"
    )
    parser.add_argument("run", metavar="RUN", help="its id, a start or end of it, or 'last'")
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="merge the adapter into the base; without it the adapter alone, in peft's format",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="N|best|last",
        type=checkpoint,
        default="best",
        help="the step of the checkpoint (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace an earlier export, unless it was changed"
    )
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="read nothing with it; for where the photos or the memory for it are gone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
