"""An export that is either whole and in its place, or not there."""

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core import lock
from core.durable import flush
from core.errors import KocrError, UsageError
from core.exporting import EXPORT_FILE, Export
from core.file_record import record_of
from core.profile import GIB
from core.run_dir import home

_OLD = "old"


class Staging:
    """An export in the making beside the folder ``out`` that it becomes with ``publish``.

    ``files`` is what will be in it, ``work`` what is thrown away. What is there already stays until
    then, and at its end where it was asked for by ``force``, only files that an earlier export
    wrote are deleted.
    """

    def __init__(self, out: Path, *, force: bool) -> None:
        self._out = out
        self._force = force
        self._folder = _beside(out, str(os.getpid()))
        self.files = self._folder / "files"
        self.work = self._folder / "work"

    def require(self, size: int) -> None:
        """Raises KocrError if the disk hasn't room for so many bytes."""
        free = shutil.disk_usage(self._folder).free
        if free < size:
            raise KocrError(
                f"{self._out}: it takes {size / GIB:.1f} GiB, but {free / GIB:.1f} GiB of the disk "
                "are free; free some, or choose a folder on another disk"
            )

    def make(self) -> None:
        """Makes the two folders, which are for this user alone until they are in place.

        Raises UsageError where ``out`` may not be replaced.
        """
        _refuse_foreign(self._out, force=self._force)
        self._folder.mkdir(mode=0o700)
        self.files.mkdir()
        self.work.mkdir()

    def publish(self, export: Export) -> Export:
        """Puts the files into place with an export.json that tells of them, which is returned.

        Raises UsageError where ``out`` has become something that may not be replaced.
        """
        files = sorted(self.files.iterdir())
        export = msgspec.structs.replace(
            export, files={path.name: record_of(path) for path in files}
        )
        told = self.files / EXPORT_FILE
        told.write_bytes(msgspec.json.format(msgspec.json.encode(export)) + b"\n")
        for path in files:
            # safetensors writes for this user alone, whatever the user's other files are like.
            path.chmod(stat.S_IMODE(told.stat().st_mode))
        for path in (*files, told, self.files):
            flush(path)
        old = _beside(self._out, _OLD)
        _refuse_foreign(self._out, force=self._force)
        if self._out.exists():
            self._out.rename(old)
        self.files.rename(self._out)
        flush(self._out.parent)
        _delete_export(old)
        return export

    def sweep(self) -> None:
        """Deletes what is left beside; an earlier export that was put aside comes back."""
        old = _beside(self._out, _OLD)
        if old.exists() and not self._out.exists():
            old.rename(self._out)
        _delete_export(old)
        start = _beside(self._out, "").name
        for left in self._out.parent.iterdir():
            if left.name.startswith(start) and left.name.removeprefix(start).isdecimal():
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def staged(out: Path, *, force: bool) -> Iterator[Staging]:
    """A place to make the export ``out`` in; nothing of it stays unless it was published.

    What a killed export to the same place has left is deleted. Raises UsageError if ``out`` is
    there and isn't all an earlier export's or ``force`` isn't given, and for a folder that can't
    be written to.
    """
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent}: no such folder to put {out.name} into")
    name = hashlib.sha256(os.fsencode(out)).hexdigest()[:16]
    path = home() / "locks" / f"export-{name}.lock"
    with lock.hold(path, lambda pid: _busy(out, pid), makes_folder=True):
        staging = Staging(out, force=force)
        try:
            staging.sweep()
            staging.make()
        except OSError as error:
            raise UsageError(f"{out}: can't be written to: {error.strerror}") from error
        try:
            yield staging
        finally:
            # A disk that fails now has failed before, and the next export sweeps.
            with contextlib.suppress(OSError):
                staging.sweep()


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f".{out.name}.export-{name}")


def _busy(out: Path, pid: int) -> str:
    return f"{out}: busy: process {pid} exports to it"


def _refuse_foreign(out: Path, *, force: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"{out}: is there already and no folder; choose another name")
    if not out.exists():
        return
    if not force:
        raise UsageError(
            f"{out}: is there already; choose another folder, or --force to replace what an "
            "earlier export wrote"
        )
    told = _told(out)
    for path in sorted(out.iterdir()):
        if (problem := _foreign(path, told)) is not None:
            raise UsageError(
                f"{path}: {problem}, so --force leaves it alone; move it away or choose another "
                "folder"
            )


def _foreign(path: Path, told: Export | None) -> str | None:
    """Why a file isn't what the export of its folder wrote, None if it is."""
    if told is None or path.name not in (*told.files, EXPORT_FILE):
        return "was not written by an export"
    if not stat.S_ISREG(path.lstat().st_mode):
        return "was changed since an export wrote it"
    if path.name != EXPORT_FILE and record_of(path) != told.files[path.name]:
        return "was changed since an export wrote it"
    return None


def _told(folder: Path) -> Export | None:
    """What the folder's own export.json tells, None where it isn't an export's."""
    try:
        return msgspec.json.decode((folder / EXPORT_FILE).read_bytes(), type=Export)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _delete_export(folder: Path) -> None:
    """Deletes an export that was put aside, but nothing in it that the export didn't write."""
    told = _told(folder)
    if told is None:
        return
    for path in list(folder.iterdir()):
        if path.name in told.files and _foreign(path, told) is None:
            path.unlink()
    if [path.name for path in folder.iterdir()] == [EXPORT_FILE]:
        (folder / EXPORT_FILE).unlink()
        folder.rmdir()
