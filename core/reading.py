"""What the process that reads signs is asked and what it tells; no torch here."""

import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from core.config import Count, Text
from core.errors import UsageError
from core.launch import run_told

READING = (sys.executable, "-P", "-m", "core.read")
Checkpoint = Literal["best", "last"] | int


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What reads: exactly one of the first four.

    ``run`` is a run's folder, ``adapter`` one in peft's format, ``model`` a folder or hub id, and
    ``reader`` another program (``tesseract``, ``donut:PATH``, ``transformers:PATH``). Of a run the
    adapter of a ``checkpoint`` reads, or its ``base`` without one; the latter of an adapter's
    folder, too.
    """

    run: str | None = None
    adapter: str | None = None
    model: str | None = None
    reader: str | None = None
    checkpoint: Checkpoint = "best"
    base: bool = False


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="rows"):
    """Rows of a JSONL to read into a file of predictions.

    ``data`` is the run's validation rows, and ``root`` and ``seed`` the run's, where they aren't
    given. ``count`` rows are drawn by the seed; all by default. ``out`` is the file of
    predictions: by default beside the run's, or one named after the reader in ``folder``.
    """

    data: Text | None = None
    root: Text | None = None
    count: Count | None = None
    seed: int | None = None
    out: Text | None = None
    folder: Text = "."


class Photos(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="photos"):
    """Photos to read, one after another; a name may be no UTF-8, so they are bytes."""

    paths: tuple[bytes, ...]
    prompt: str


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to read with, and what; ``batch`` photos at a time, at a budget of ``max_pixels``."""

    source: Source
    work: Evaluation | Photos
    max_pixels: Count | None = None
    batch: Count | None = None


class PhotoReply(msgspec.Struct, frozen=True, kw_only=True):
    """What is on photo number ``photo`` (from 0) of a request, or why there is no reply."""

    photo: int
    reply: str | None = None
    why: str | None = None
    tokens: int | None = None
    cut: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the process tells beside how far it is.

    ``out`` is the file of predictions; ``opening`` says that photos' headers are being read before
    anything else; ``seconds_left`` is an estimate, ``note`` one line that a person should see,
    ``reply`` the next photo's.
    """

    out: str | None = None
    opening: bool = False
    seconds_left: float | None = None
    note: str | None = None
    reply: PhotoReply | None = None


def read(
    request: ReadRequest,
    tell: Callable[[int, int, Told], None],
    command: Sequence[str] = READING,
    stop: threading.Event | None = None,
) -> None:
    """Has ``request`` read in a process of its own, which may take hours.

    ``tell`` hears how many rows or photos are done, how many there are, and what else is told.
    ``command`` gets the request's file. Raises UsageError, KocrError or GpuLostError with the
    process's last line; Ctrl-C, and StoppedError once ``stop`` is set, end it, and what is in the
    file of predictions by then stays.
    """

    def hear(done: int, total: int, words: str) -> None:
        tell(done, total, msgspec.json.decode(words, type=Told) if words else Told())

    try:
        encoded = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UsageError("a path is no UTF-8; rename the file or folder, or link to it") from error
    with tempfile.TemporaryDirectory(prefix="kocr-read-") as folder:
        asked = Path(folder) / "request"
        asked.write_bytes(encoded)
        run_told([*command, str(asked)], hear, stop, called="the reader")
