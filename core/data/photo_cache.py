"""Facts of files kept in SQLite between runs, by path, size and mtime."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

Identity = tuple[int, int]
Facts = TypeVar("Facts", bound=msgspec.Struct)
_TABLE = "photos_1"
_FLUSH_SECONDS = 2.0


class PhotoCache(Generic[Facts]):
    """A cache, never a need: a file that can't be written or read only costs time."""

    def __init__(self, file: Path | None, kind: type[Facts]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._unsaved: list[tuple[str, int, int, bytes]] = []
        self._flushed = time.monotonic()
        self._database = _open(file) if file is not None else None

    def get(self, path: str, identity: Identity) -> Facts | None:
        """What was kept of a file, if it's the same file still."""
        if self._database is None:
            return None
        with contextlib.suppress(sqlite3.Error, msgspec.DecodeError, UnicodeEncodeError):
            row = self._database.execute(
                f"SELECT facts FROM {_TABLE} WHERE path = ? AND size = ? AND mtime = ?",
                (path, *identity),
            ).fetchone()
            return self._decoder.decode(row[0]) if row else None
        return None

    def put(self, path: str, identity: Identity, facts: Facts) -> None:
        """Keeps the facts; on disk within seconds, so that an end cut short loses little."""
        self._unsaved.append((path, *identity, msgspec.msgpack.encode(facts)))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what is not on disk yet."""
        unsaved, self._unsaved = self._unsaved, []
        self._flushed = time.monotonic()
        if self._database is None or not unsaved:
            return
        with contextlib.suppress(sqlite3.Error, UnicodeEncodeError), self._database:
            self._database.executemany(
                f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?)", unsaved
            )


def _open(file: Path) -> sqlite3.Connection | None:
    try:
        return _connect(file)
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
    except OSError:
        return None
    with contextlib.suppress(sqlite3.Error, OSError):
        return _connect(file)
    return None


def _connect(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file, timeout=10)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        f"CREATE TABLE IF NOT EXISTS {_TABLE} "
        "(path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, facts BLOB) WITHOUT ROWID"
    )
    return database
