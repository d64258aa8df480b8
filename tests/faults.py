"""Disks that fail: at the n-th thing asked of them, at a size, or because they are full."""

import errno
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """What a kill is to a process: nothing in it runs after that."""


class Disk:
    """Lets the n-th operation on files that is asked of Python fail (counted from 1).

    A write that fails has written half of its bytes before. ``asked`` counts the operations.
    """

    def __init__(self, at: int, failure: BaseException) -> None:
        self.at = at
        self.asked = 0
        self._failure = failure
        self._lock = threading.Lock()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in (
            (Path, "mkdir"),
            (Path, "write_bytes"),
            (Path, "rename"),
            (os, "fsync"),
        ):
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name), name))

    def _failing(self, real: Any, name: str) -> Any:
        def operation(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self.asked += 1
                fails = self.asked == self.at
            if not fails:
                return real(*arguments, **options)
            if name == "write_bytes":
                path, data = arguments
                real(path, data[: len(data) // 2])
            raise self._failure

        return operation


def failures() -> list[OSError]:
    """The ways in which a disk that is full, broken or read-only fails."""
    return [OSError(code, os.strerror(code)) for code in (errno.ENOSPC, errno.EIO, errno.EROFS)]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes, by whatever library it's written."""
    _soft, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``folder``; skips where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command to make a small file system with")
    if mounted.returncode != 0:
        pytest.skip(f"no small file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, left: int = 0) -> Path:
    """Fills a small disk but for ``left`` bytes, and returns the file that does it."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        block = bytes(1 << 12)
        try:
            while file.write(block):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(0, file.tell() - left))
    return path
