"""Answers a request file: ``python -m core.read REQUEST``; see core.reading."""

import sys
from pathlib import Path

import msgspec

from core.errors import GpuLostError, KocrError, first_line, one_line
from core.reading import Evaluation, ReadRequest, Told
from core.visible_text import visible


def main(arguments: list[str]) -> int:
    """Tells progress and replies on standard output; an error is one line."""
    try:
        request = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=ReadRequest)
        _work(request)
    except (KocrError, OSError) as error:
        print(visible(one_line(error)), file=sys.stderr)
        return error.exit_code if isinstance(error, KocrError) else 1
    return 0


def _work(request: ReadRequest) -> None:
    from core.hardware.cuda_error import context_is_lost, is_cuda_error
    from core.read.evaluate import evaluate
    from core.read.predict import predict

    try:
        if isinstance(request.work, Evaluation):
            evaluate(request, request.work, tell)
        else:
            predict(request, request.work, tell)
    except RuntimeError as error:
        if is_cuda_error(error) and context_is_lost():
            raise GpuLostError(
                f"the card failed: {first_line(error)}; `kocr-tui doctor` looks at it"
            ) from error
        raise


def tell(done: int, total: int, told: Told) -> None:
    """One line, whatever the locale's encoding."""
    sys.stdout.buffer.write(b"%d %d %s\n" % (done, total, msgspec.json.encode(told)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
