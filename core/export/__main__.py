"""Exports a run's checkpoint: ``python -m core.export REQUEST REPORT``."""

import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec

from core.errors import KocrError, StoppedError
from core.exporting import ExportRequest
from core.visible_text import visible


def main(arguments: list[str]) -> int:
    """Answers a request file; progress goes to standard output, an error is one line.

    SIGTERM and SIGINT end it with exit code 3, and nothing of the export stays.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)

    def tell(done: int, total: int, words: str) -> None:
        print(done, total, words, flush=True)

    try:
        from transformers.utils import logging

        from core.export.exporter import export

        # A bar would stand in the line of an error.
        logging.disable_progress_bar()
        request = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=ExportRequest)
        report = export(request, tell)
    except KocrError as error:
        print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    Path(arguments[1]).write_bytes(msgspec.json.encode(report))
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # No library takes this one for a failure of its own and goes on.
    raise SystemExit(StoppedError.exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
