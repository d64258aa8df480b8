"""The events file of a run: appended to by one worker, replayed and tailed by everyone else.

A reader ignores a half-written last line, reports and skips a corrupt one, and passes over kinds
that it doesn't know.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.events import SCHEMA_VERSION, AnyEvent, Event

WHOLE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 18
_BASE = rb'"v":\d+,"seq":\d+,"time":[^,]+,'
_OFTEN = rb'step"|predictions"|scores",' + _BASE + rb'"step":\d+,"scope":"rolling"'
_SELDOM = re.compile(rb'\n(?!\{"kind":"(?:' + _OFTEN + rb"))")
_BYTES_A_LINE = 512
_STRIDE = 8
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_HEADER = msgspec.json.Decoder(dict[str, object])
_KNOWN_KINDS = frozenset(
    kind.__struct_config__.tag for kind in AnyEvent.__args__ if issubclass(kind, Event)
)


class EventWriter:
    """Appends events to a run's file; the worker that holds the run's lock owns it."""

    def __init__(self, path: Path) -> None:
        self._next_seq = _end_last_line(path)
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, event: AnyEvent) -> None:
        """Appends one line in one system call, so that readers see it whole or not yet."""
        stamped = msgspec.structs.replace(event, seq=self._next_seq, time=time.time())
        self._file.write(_ENCODER.encode(stamped) + b"\n")
        self._next_seq += 1

    def close(self) -> None:
        """Flushes the file to disk and closes it."""
        os.fsync(self._file.fileno())
        self._file.close()


class EventReader:
    """Replays a run's events and then tails them by offset.

    ``problems`` lists lines that could not be read, for people to see; ``newer_lines`` counts those
    that a newer version wrote: of a kind that isn't known, or of a later schema.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0
        self.problems: list[str] = []
        self.newer_lines = 0

    def read(self) -> Iterator[AnyEvent]:
        """The events that were written since the last call, read block by block.

        Of steps, predictions and rolling scores in a backlog above WHOLE_BYTES only every n-th
        line is read but for the newest, so that a run of a million steps opens at once. What is
        not taken from the iterator is lost, so take all of it.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            end = file.seek(0, os.SEEK_END)
            backlog = end - self._offset
            stride = -(-backlog // WHOLE_BYTES) * _STRIDE if backlog > WHOLE_BYTES else 1
            file.seek(self._offset)
            rest = b""
            while block := file.read(_BLOCK_BYTES):
                whole, newline, rest = (rest + block).rpartition(b"\n")
                self._offset += len(whole) + len(newline)
                newest = stride == 1 or self._offset > end - _BLOCK_BYTES
                lines = whole.split(b"\n") if newest else self._thin(whole, stride)
                for line in lines if newline else ():
                    if (event := self._parse(line)) is not None:
                        yield event

    def poll(self) -> list[AnyEvent]:
        """The events that were written since the last call; empty if there are none."""
        return list(self.read())

    def _thin(self, lines: bytes, stride: int) -> Iterator[bytes]:
        """About every ``stride``-th line, and all of the kinds that aren't told often."""
        spots = range(0, len(lines), stride * _BYTES_A_LINE)
        starts = {0, *(lines.find(b"\n", spot) + 1 for spot in spots)}
        starts.update(found.end() for found in _SELDOM.finditer(lines))
        before, passed = self._lines, 0
        for start in sorted(starts):
            before += lines.count(b"\n", passed, start)
            self._lines, passed = before, start
            end = lines.find(b"\n", start)
            yield lines[start:] if end < 0 else lines[start:end]
        self._lines = before + lines.count(b"\n", passed) + 1

    def _parse(self, line: bytes) -> AnyEvent | None:
        self._lines += 1
        try:
            event = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if _is_newer(line):
                self.newer_lines += 1
            elif line.strip():
                self.problems.append(f"{self._path.name} line {self._lines}: {error}")
            return None
        self.newer_lines += event.v > SCHEMA_VERSION
        return event


def _is_newer(line: bytes) -> bool:
    try:
        header = _HEADER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    version = header.get("v")
    later = isinstance(version, int) and version > SCHEMA_VERSION
    return later or header.get("kind") not in _KNOWN_KINDS


def _end_last_line(path: Path) -> int:
    """Closes a line that a killed worker left half-written; returns the next sequence number."""
    if not path.exists():
        return 1
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
    return data.count(b"\n") + 1 + (not data.endswith(b"\n") if data else 0)
