"""Textual's driver for terminals, whose output outlives the terminal."""

import io
import sys
from errno import EIO
from typing import TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from typing_extensions import Buffer


class TerminalDriver(LinuxDriver):
    """Drops what is drawn on a terminal that is gone.

    Textual's thread that writes would end with an error, and the app, which waits for it to take
    the next piece, could never leave.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        drawn_on = sys.__stderr__
        assert drawn_on is not None
        output = io.BufferedWriter(_Output(drawn_on.fileno(), "wb", closefd=False))
        self._file = io.TextIOWrapper(output, drawn_on.encoding, drawn_on.errors)


class _Output(io.FileIO):
    def write(self, data: "Buffer") -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != EIO:
                raise
            return memoryview(data).nbytes
