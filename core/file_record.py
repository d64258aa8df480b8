"""What tells a file's content from another's."""

import hashlib
import os
from pathlib import Path

import msgspec


class FileRecord(msgspec.Struct, frozen=True):
    """A file's size, and the SHA-256 (hex) of its content."""

    bytes: int
    sha256: str


def record_of(path: Path) -> FileRecord:
    """Reads the whole file; raises OSError where it can't be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(bytes=os.fstat(file.fileno()).st_size, sha256=digest)
