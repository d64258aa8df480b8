"""A folder's files by size and SHA-256, so that damage and what doesn't belong are found."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import msgspec

from core.durable import flush
from core.file_record import FileRecord, record_of

MANIFEST_FILE = "manifest.json"
_SUFFIXES = frozenset({".json", ".safetensors", ".md"})
_MOST_BYTES = 1 << 20
_AT_A_TIME = 4


class UnreadableError(ValueError):
    """The disk didn't give a file just now, which says nothing of what is in it."""


class Manifest(msgspec.Struct, frozen=True):
    """All files of a folder but the manifest itself, by their paths in it."""

    files: dict[str, FileRecord]

    @property
    def bytes(self) -> int:
        return sum(record.bytes for record in self.files.values())


def seal(folder: Path) -> Manifest:
    """Writes the manifest and waits until the whole folder would outlive a power cut.

    Raises OSError if the disk doesn't take it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # Neither hashing nor waiting for the disk holds Python's lock, so one hides the other.
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        flushing = [pool.submit(flush, path) for path in files]
        records = list(pool.map(record_of, files))
        for flushed in flushing:
            flushed.result()
    names = [path.relative_to(folder).as_posix() for path in files]
    manifest = Manifest(dict(zip(names, records, strict=True)))
    file = folder / MANIFEST_FILE
    file.write_bytes(msgspec.json.encode(manifest))
    for path in (file, *(path for path in folder.rglob("*") if path.is_dir()), folder):
        flush(path)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; raises ValueError as ``check`` does where it can't be taken."""
    path = folder / MANIFEST_FILE
    try:
        if folder.is_symlink() or path.is_symlink():
            raise ValueError(f"{MANIFEST_FILE}: it is reached by a symlink")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{MANIFEST_FILE}: too large to be one")
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise unreadable(MANIFEST_FILE, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST_FILE}: {error}") from error
    for name in manifest.files:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or parts.as_posix() != name:
            raise ValueError(f"{MANIFEST_FILE}: {name!r} is no path in the folder")
    return manifest


def check(folder: Path, *, hashes: bool = True) -> None:
    """Raises ValueError, saying what is wrong, unless the folder is what its manifest says.

    It's an UnreadableError where that can't be told, since the disk fails.
    Its files must be those of the manifest, regular, of a kind that holds no code, and have their
    size and, with ``hashes``, their hash.
    """
    manifest = read_manifest(folder)
    try:
        found = {path.relative_to(folder).as_posix() for path in _files(folder)}
    except OSError as error:
        raise unreadable("it", error) from error
    for name in sorted(found - manifest.files.keys() - {MANIFEST_FILE}):
        raise ValueError(f"{name} is not in {MANIFEST_FILE}")
    for name, record in manifest.files.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        _check_file(folder / name, name, record, hashes=hashes)


def _check_file(path: Path, name: str, record: FileRecord, *, hashes: bool) -> None:
    try:
        size = path.stat().st_size
        if size != record.bytes:
            raise ValueError(f"{name} is damaged: {size:,} bytes instead of {record.bytes:,}")
        if hashes and record_of(path) != record:
            raise ValueError(f"{name} is damaged: its SHA-256 is another")
    except OSError as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: OSError) -> ValueError:
    """What to raise for a file that can't be read: UnreadableError unless it's missing."""
    words = f"{name} can't be read: {error.strerror or error}"
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return ValueError(words) if missing else UnreadableError(words)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; raises ValueError at the first that has no place in one."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _files(path)
                continue
            if stat.S_ISLNK(mode):
                raise ValueError(f"{entry.name} is a symlink")
            if not stat.S_ISREG(mode) or path.suffix not in _SUFFIXES:
                raise ValueError(f"{entry.name} is no JSON, safetensors or Markdown file")
            yield path
