"""The command line; whatever is heavy is imported inside the command that needs it."""

import argparse
import io
import sys
from collections.abc import Sequence

from core.errors import KocrError, one_line
from kocr_tui.options.arguments import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; errors are one line on standard error."""
    _escape_what_cannot_be_shown()
    options = make_parser().parse_args(arguments)
    try:
        return _run(options)
    except KocrError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 3
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        _complain(error)
        return 1


def _complain(error: KocrError | OSError) -> None:
    from core.visible_text import visible

    print(f"kocr-tui: {visible(one_line(error))}", file=sys.stderr)


def _escape_what_cannot_be_shown() -> None:
    """Lets Hangul come out as escapes, not as a crash, where the locale knows only ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(options: argparse.Namespace) -> int:
    from kocr_tui import commands
    from kocr_tui.strings import use_language

    use_language(options.lang)
    return commands.run(options)


if __name__ == "__main__":
    sys.exit(main())
