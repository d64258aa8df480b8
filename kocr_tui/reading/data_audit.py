"""What is in a file of rows, read by a process of its own while the form is filled in."""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.errors import KocrError, StoppedError
from core.launch import run_told
from kocr_tui import format as fmt
from kocr_tui.strings import say

SURVEYOR = (sys.executable, "-P", "-m", "core.data.summary")
# How long a path must stand still before its file is read.
SETTLE_SECONDS = 0.4
_TELL_SECONDS = 0.5


class RowsSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Rows ``kept`` and ``set_aside``, the first of the latter, and the ``largest`` photo (px)."""

    kept: int
    set_aside: int
    largest: tuple[int, int]
    first_line: int | None = None
    first_reason: str | None = None


def survey(
    path: Path,
    tell: Callable[[int, int, str], None],
    stop: threading.Event,
    command: Sequence[str] = SURVEYOR,
    *,
    root: str | None = None,
) -> RowsSummary:
    """Surveys a file of rows; what was read is kept for the planner and the run.

    A photo that leads out of the folder ``root`` can't be used.

    ``tell`` hears of photos done and in all. Raises StoppedError once ``stop`` is set, and
    UsageError or KocrError with one line for a file that can't be used.
    """
    with tempfile.TemporaryDirectory(prefix="kocr-rows-") as folder:
        answer = Path(folder) / "summary"
        asked = [str(path), str(answer), *([root] if root is not None else [])]
        run_told([*command, *asked], tell, stop, called="the reader of rows")
        return msgspec.json.decode(answer.read_bytes(), type=RowsSummary)


def summary_line(path: str, found: RowsSummary) -> str:
    """``199 kept, 1 set aside; photos up to 4,032 x 3,024``, then the first reason."""
    width, height = found.largest
    text = say(
        "new.audit.found",
        kept=f"{found.kept:,}",
        aside=f"{found.set_aside:,}",
        photo=f"{width:,} x {height:,}",
    )
    if found.first_reason is None:
        return text
    reason = fmt.visible(found.first_reason.replace(f"{Path(path).parent}/", "", 1))
    return f"{text}  {say('new.audit.first', line=found.first_line, reason=reason)}"


@dataclass(frozen=True)
class RowsState:
    """What is known of a file at a moment: photos ``done`` of ``total``, then one of the others."""

    path: str
    done: int = 0
    total: int = 0
    found: RowsSummary | None = None
    problem: str | None = None

    @property
    def reading(self) -> bool:
        """Whether it is still being looked at."""
        return self.found is None and self.problem is None

    def line(self) -> str:
        """One line for people."""
        if self.found is not None:
            return summary_line(self.path, self.found)
        if self.problem is not None:
            return f"✗ {fmt.visible(self.problem)}"
        if self.total:
            return say("new.audit.photos", done=f"{self.done:,}", total=f"{self.total:,}")
        return say("new.audit.reading")


@dataclass(frozen=True)
class RowsFiles:
    """Files of rows to look at, and the folder that their photos may not lead out of, if any."""

    paths: tuple[str, ...] = ()
    root: str | None = None


class DataAudit:
    """Surveys files of rows for ``tell``, which is called from the thread that works."""

    def __init__(self, tell: Callable[[RowsState], None]) -> None:
        self._tell = tell
        self._known: dict[tuple[str, int, int, str | None], RowsSummary] = {}

    def work(self, files: RowsFiles, stop: threading.Event) -> None:
        """Looks at files one after another; one that hasn't changed since is told at once."""
        if stop.wait(SETTLE_SECONDS):
            return
        for path in files.paths:
            if stop.is_set():
                return
            try:
                self._tell(RowsState(path, found=self._survey(path, files.root, stop)))
            except StoppedError:
                return
            except (KocrError, OSError) as error:
                self._tell(RowsState(path, problem=str(error).removeprefix(f"{path}: ")))

    def _survey(self, path: str, root: str | None, stop: threading.Event) -> RowsSummary:
        file = Path(path).stat()
        key = (path, file.st_size, file.st_mtime_ns, root)
        if key not in self._known:
            self._known[key] = survey(Path(path), self._progress(path), stop, root=root)
        return self._known[key]

    def _progress(self, path: str) -> Callable[[int, int, str], None]:
        told = 0.0

        def tell(done: int, total: int, _words: str) -> None:
            nonlocal told
            if (now := time.monotonic()) - told >= _TELL_SECONDS:
                told = now
                self._tell(RowsState(path, done, total))

        return tell
