"""Image features on disk, found by what is in the photo's file.

One file of values, memory-mapped, and an SQLite index beside it. The folder's name stands for all
that features depend on besides the photo: model, revision, pixel budget and number format.
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_VALUES = "features.bin"
_INDEX = "index.sqlite"


@dataclass(frozen=True)
class PhotoKey:
    """A photo's file: path, size (bytes), mtime (ns), and SHA-256 of its content."""

    path: str
    size: int
    mtime: int
    digest: bytes


class FeatureStore:
    """Features of photos, each (image tokens, ``token_bytes``). Any number of processes may use it.

    What a crash left half-written is told by its checksum and counts as missing.
    """

    def __init__(self, folder: Path, token_bytes: int) -> None:
        self.folder = folder
        self.token_bytes = token_bytes
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _VALUES).exists():
            (folder / _VALUES).touch()
        # A connection or a mapping must not cross into a forked loader process.
        self._owner: int | None = None
        self._database: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        self._mapping: NDArray[np.uint8] | None = None

    def key(self, path: str) -> PhotoKey | None:
        """The photo's key; its file is read unless its size and mtime are known. None: no file."""
        try:
            status = Path(path).stat()
            known = self._query(
                "SELECT digest FROM seen WHERE path = ? AND size = ? AND mtime = ?",
                (os.fsencode(path), status.st_size, status.st_mtime_ns),
            )
            if known is not None:
                digest = bytes(known[0])
            else:
                with Path(path).open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return None
        return PhotoKey(path, status.st_size, status.st_mtime_ns, digest)

    def get(self, key: PhotoKey, tokens: int) -> Bytes | None:
        """The photo's features (tokens, bytes), or None if they aren't there or are damaged."""
        found = self._query(
            "SELECT start, tokens, crc FROM features WHERE digest = ?", (key.digest,)
        )
        if found is None or found[1] != tokens:
            return None
        start, _tokens, crc = found
        size = tokens * self.token_bytes
        mapping = self._map(start + size)
        if mapping is None:
            return None
        values = mapping[start : start + size]
        if zlib.crc32(values.tobytes()) != crc:
            return None
        return values.reshape(tokens, self.token_bytes).copy()

    def put(self, key: PhotoKey, values: Bytes) -> None:
        """Appends features (tokens, bytes); raises OSError if the disk doesn't take them."""
        with (self.folder / _VALUES).open("r+b") as file:
            # Processes that train together, or two runs, may write at the same time.
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                # What a crash, or a full disk, has left unindexed is written over.
                start = file.seek(self._indexed_bytes())
                file.write(values.tobytes())
                file.flush()
                self._index(key, start, values)
            except sqlite3.Error as error:
                raise OSError(0, f"{_INDEX}: {error}") from error

    def _index(self, key: PhotoKey, start: int, values: Bytes) -> None:
        with self._connection() as database:
            database.execute(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)",
                (key.digest, start, len(values), zlib.crc32(values.tobytes())),
            )
            database.execute(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
                (os.fsencode(key.path), key.size, key.mtime, key.digest),
            )

    def _indexed_bytes(self) -> int:
        """Where the last indexed values end."""
        statement = "SELECT max(start + tokens * ?) FROM features"
        (end,) = self._connection().execute(statement, (self.token_bytes,)).fetchone()
        return end or 0

    def used_bytes(self) -> int:
        """Bytes of values on disk that can be found."""
        with contextlib.suppress(sqlite3.Error):
            return self._indexed_bytes()
        return 0

    def __len__(self) -> int:
        found = self._query("SELECT count(*) FROM features", ())
        return int(found[0]) if found else 0

    def __reduce__(self) -> tuple[type["FeatureStore"], tuple[Path, int]]:
        # A loader process opens the files and the database for itself.
        return FeatureStore, (self.folder, self.token_bytes)

    def _query(self, statement: str, values: tuple[object, ...]) -> tuple[int, ...] | None:
        with contextlib.suppress(sqlite3.Error):
            row: tuple[int, ...] | None = self._connection().execute(statement, values).fetchone()
            return row
        return None

    def _map(self, end: int) -> NDArray[np.uint8] | None:
        """The values up to ``end`` (bytes), mapped anew where the file has grown."""
        self._connection()
        if self._mapping is None or len(self._mapping) < end:
            if (self.folder / _VALUES).stat().st_size < end:
                return None
            self._mapping = np.memmap(self.folder / _VALUES, dtype=np.uint8, mode="r")
        return self._mapping

    def _connection(self) -> sqlite3.Connection:
        if self._database is None or self._owner != os.getpid():
            # SQLite forbids even closing a connection that came along in a fork.
            self._inherited = self._database
            self._owner, self._mapping = os.getpid(), None
            self._database = sqlite3.connect(self.folder / _INDEX, timeout=30)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS features (digest BLOB PRIMARY KEY, start INTEGER, "
                "tokens INTEGER, crc INTEGER) WITHOUT ROWID"
            )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS seen (path BLOB PRIMARY KEY, size INTEGER, "
                "mtime INTEGER, digest BLOB) WITHOUT ROWID"
            )
        return self._database
