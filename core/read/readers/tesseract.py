"""Tesseract as a reader: the program itself, a process a photo."""

import io
import os
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

from PIL import Image

from core.data.images import read_photo
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.read.opening import Described
from core.read.reader import Photo, Reply, pixels_of
from core.reading import ReadRequest

INSTALL = "apt install tesseract-ocr tesseract-ocr-kor"
LANGUAGES = ("kor", "eng")
TIMEOUT_SECONDS = 60.0
# Sparse text: a shop front is no page, and the other modes look for columns and paragraphs first.
PAGE_MODE = 11
# Of 100 that Tesseract gives a word; below it are mostly edges of things taken for letters.
LEAST_CONFIDENCE = 30.0
_PROGRAM = "tesseract"
_WORD = "5"


class Word(NamedTuple):
    """A word with its line and the height of its box in pixels."""

    line: tuple[str, ...]
    height: int
    text: str


class Tesseract:
    """Reads with Korean and English, line by line, the line with the largest letters first.

    Scored is the first line of a reply, and the name is what a sign writes largest. A photo may
    take ``timeout_s`` seconds. Raises UsageError where the program or its Korean data isn't
    installed.
    """

    def __init__(self, at_a_time: int | None = None, timeout_s: float = TIMEOUT_SECONDS) -> None:
        self.version = _installed()
        self.title = f"Tesseract {self.version}"
        self.at_a_time = at_a_time or os.cpu_count() or 1
        self._timeout_s = timeout_s

    def read(self, photos: Sequence[Photo]) -> list[Reply]:
        """One reply a photo, in their order; what can't be read says why."""
        with ThreadPoolExecutor(self.at_a_time, thread_name_prefix="tesseract") as pool:
            return list(pool.map(self._read, photos))

    def _read(self, photo: Photo) -> Reply:
        try:
            image = read_photo(photo.path, root=photo.root)
        except UnusableError as problem:
            return Reply(None, why=str(problem))
        try:
            done = subprocess.run(
                _command(),
                input=_png(image),
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
                env=_environment(),
            )
        except subprocess.TimeoutExpired:
            why = f"tesseract took over {self._timeout_s:g} s"
            return Reply(None, why=why, read_size=image.size)
        except OSError as error:
            return Reply(None, why=f"tesseract can't be started: {error.strerror}")
        if done.returncode:
            return Reply(None, why=_failure(done), read_size=image.size)
        words = words_of(done.stdout.decode("utf-8", "replace"))
        return Reply(largest_first(words), read_size=image.size)


def describe(path: str, request: ReadRequest) -> Described:
    """Tesseract as it is installed; raises UsageError where it isn't."""
    if path:
        raise UsageError(f"--reader tesseract:{path}: Tesseract takes no path")
    reader = Tesseract(request.batch)
    return Described(
        title=reader.title,
        name="tesseract",
        at_a_time=reader.at_a_time,
        open=lambda: nullcontext(reader),
        tokens=pixels_of,
        settings={
            "languages": "+".join(LANGUAGES),
            "psm": PAGE_MODE,
            "least_confidence": LEAST_CONFIDENCE,
        },
        versions={"tesseract": reader.version},
    )


def words_of(table: str) -> list[Word]:
    """The words in Tesseract's TSV that it is at least LEAST_CONFIDENCE sure of.

    Columns: level, page, block, paragraph, line, word, left, top, width, height, confidence, text.
    """
    words = []
    for row in table.splitlines():
        cells = row.split("\t")
        if len(cells) != 12 or cells[0] != _WORD or not cells[11].strip():
            continue
        if float(cells[10]) >= LEAST_CONFIDENCE:
            words.append(Word(tuple(cells[1:5]), int(cells[9]), cells[11].strip()))
    return words


def largest_first(words: Iterable[Word]) -> str:
    """The lines of these words, one a line of text, the one with the tallest word first."""
    lines: dict[tuple[str, ...], list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)
    tallest = sorted(lines.values(), key=lambda line: -max(word.height for word in line))
    return "\n".join(" ".join(word.text for word in line) for line in tallest)


def _command() -> list[str]:
    mode = str(PAGE_MODE)
    return [_PROGRAM, "stdin", "stdout", "-l", "+".join(LANGUAGES), "--psm", mode, "tsv"]


def _png(image: Image.Image) -> bytes:
    # Its metadata is of no use to Tesseract, and a pipe needs no small file.
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _environment() -> dict[str, str]:
    """A process a core: within one, Tesseract's threads mostly wait for one another."""
    return {**os.environ, "OMP_THREAD_LIMIT": "1"}


def _failure(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"tesseract failed: {said[-1][:300] if said else f'exit code {done.returncode}'}"


def _installed() -> str:
    """The program's version."""
    try:
        version, languages = (
            subprocess.run([_PROGRAM, option], capture_output=True, text=True, check=True).stdout
            for option in ("--version", "--list-langs")
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"tesseract can't be run: {error}; `{INSTALL}`") from error
    missing = sorted(set(LANGUAGES) - set(languages.split()))
    if missing:
        raise UsageError(f"tesseract has no data for {', '.join(missing)}; `{INSTALL}`")
    return version.split()[1]
