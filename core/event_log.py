"""The events file of a run: appended to by one worker, replayed and tailed by everyone else.

A reader ignores a half-written last line, reports and skips a corrupt one, and passes over kinds
that it doesn't know.
"""

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from core.errors import first_line
from core.event_bounds import impossible_figure
from core.events import SCHEMA_VERSION, AnyEvent, Event, Log

WHOLE_BYTES = 64 << 20
KEPT_PROBLEMS = 100
MOST_LINE_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 18
_BASE = rb'"v":\d+,"seq":\d+,"time":[^,]+,'
_OFTEN = rb'step"|predictions"|scores",' + _BASE + rb'"step":\d+,"scope":"rolling"'
_SELDOM = re.compile(rb'\n(?!\{"kind":"(?:' + _OFTEN + rb"))")
_BYTES_A_LINE = 512
_STRIDE = 8
_MOST_WAITING = 10_000
_RESERVED_BYTES = 64 << 10
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TOO_LONG = f"a line of over {MOST_LINE_BYTES:,} bytes"
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_HEADER = msgspec.json.Decoder(dict[str, object])
_KNOWN_KINDS = frozenset(
    kind.__struct_config__.tag for kind in AnyEvent.__args__ if issubclass(kind, Event)
)


class EventWriter:
    """Appends events to a run's file; the worker that holds the run's lock owns it.

    Never raises OSError for an event: what the disk doesn't take waits, is written before the next
    event once it does, and is told of then. ``reserve`` is a file that takes a little room, which
    is given up for the last words where the disk is full at the end. Threads may share a writer.
    """

    def __init__(self, path: Path, reserve: Path | None = None) -> None:
        self._next_seq, unended = _look_over(path)
        self._name = path.name
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque([b"\n"] if unended else [])
        self._failure: OSError | None = None
        self._failed_at = 0.0
        self._held_up = self._left_out = 0
        self._reserve = reserve
        if reserve is not None:
            with contextlib.suppress(OSError):
                reserve.write_bytes(os.urandom(_RESERVED_BYTES))

    @property
    def seq(self) -> int:
        """The sequence number of the last event."""
        return self._next_seq - 1

    def continue_after(self, seq: int) -> None:
        """No later event has ``seq`` or less, even where the file has lost its end."""
        with self._lock:
            self._next_seq = max(self._next_seq, seq + 1)

    def write(self, event: AnyEvent) -> None:
        """Appends one line in one system call, so that readers see it whole or not yet."""
        with self._lock:
            self._append(event)
            self._write_waiting()
            if self._failure is not None and not self._waiting:
                self._append(self._told())
                self._write_waiting()

    def close(self) -> None:
        """Flushes the file to disk and closes it."""
        with self._lock, contextlib.suppress(OSError):
            if self._reserve is not None:
                self._reserve.unlink(missing_ok=True)
            self._write_last_words()
            os.fsync(self._file.fileno())
            self._file.close()

    def _append(self, event: AnyEvent) -> None:
        stamped = msgspec.structs.replace(event, seq=self._next_seq, time=time.time())
        self._waiting.append(_encoded(stamped) + b"\n")
        self._next_seq += 1
        if len(self._waiting) > _MOST_WAITING:
            # The first may be half-written already, and its line must be ended.
            del self._waiting[1]
            self._left_out += 1

    def _write_waiting(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = self._file.write(line)
            except OSError as error:
                self._failed(error)
                return
            if written == len(line):
                self._waiting.popleft()
            else:
                # A disk that fills up takes a part; the rest of the line goes where that ends.
                self._waiting[0] = line[written:]

    def _write_last_words(self) -> None:
        """Writes what waits, of which only the newest may fit where a full disk has spared room."""
        waiting = sum(map(len, self._waiting))
        while waiting > _RESERVED_BYTES // 2 and len(self._waiting) > 2:
            waiting -= len(self._waiting[1])
            del self._waiting[1]
        self._write_waiting()

    def _failed(self, error: OSError) -> None:
        if self._failure is None:
            self._failed_at = time.monotonic()
        self._failure = error
        self._held_up += 1

    def _told(self) -> Log:
        """What is said once writing works again."""
        assert self._failure is not None
        seconds = time.monotonic() - self._failed_at
        reason = self._failure.strerror or self._failure
        message = (
            f"{self._name}: nothing could be written for {seconds:.0f} s ({reason})"
            f"; {self._held_up:,} events waited, of which {self._left_out:,} are left out"
        )
        self._failure = None
        self._held_up = self._left_out = 0
        return Log(level="warning", message=message)


class EventReader:
    """Replays a run's events and then tails them by offset.

    ``problems`` lists the newest KEPT_PROBLEMS lines that could not be read or hold impossible
    figures or over MOST_LINE_BYTES, for people to see; ``newer_lines`` counts those that a newer
    version wrote: of a kind that isn't known, or of a later schema.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0
        self._in_long_line = False
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
                whole, newline, rest = self._without_long_line(whole, newline, rest)
                newest = stride == 1 or self._offset > end - _BLOCK_BYTES
                lines = whole.split(b"\n") if newest else self._thin(whole, stride)
                for line in lines if newline else ():
                    if (event := self._parse(line)) is not None:
                        yield event

    def poll(self) -> list[AnyEvent]:
        """The events that were written since the last call; empty if there are none."""
        return list(self.read())

    def _without_long_line(
        self, whole: bytes, newline: bytes, rest: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """The same but for the parts of a line of over MOST_LINE_BYTES, reported once it ended.

        Kept, its parts would be copied at every block and read again at every call.
        """
        if self._in_long_line and newline:
            self._in_long_line = False
            self._lines += 1
            self._report(_TOO_LONG)
            _long, newline, whole = whole.partition(b"\n")
        if self._in_long_line or len(rest) > MOST_LINE_BYTES:
            self._in_long_line = True
            self._offset += len(rest)
            rest = b""
        return whole, newline, rest

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
        if len(line) > MOST_LINE_BYTES:
            self._report(_TOO_LONG)
            return None
        try:
            event = _DECODER.decode(line)
        except _UNREADABLE as error:
            if _is_newer(line):
                self.newer_lines += 1
            elif line.strip():
                self._report(first_line(error))
            return None
        if (figure := impossible_figure(event)) is not None:
            self._report(f"impossible value of {figure}")
            return None
        self.newer_lines += event.v > SCHEMA_VERSION
        return event

    def _report(self, why: str) -> None:
        self.problems.append(f"{self._path.name} line {self._lines}: {why}")
        del self.problems[:-KEPT_PROBLEMS]


def _encoded(event: AnyEvent) -> bytes:
    """The line of an event; bytes of file names that are no UTF-8 become question marks."""
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:
        # The console reads events without writing any.
        import json

        text = json.dumps(msgspec.to_builtins(event), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def _is_newer(line: bytes) -> bool:
    try:
        header = _HEADER.decode(line)
    except _UNREADABLE:
        return False
    version = header.get("v")
    later = isinstance(version, int) and version > SCHEMA_VERSION
    kind = header.get("kind")
    return later or (isinstance(kind, str) and kind not in _KNOWN_KINDS)


def _look_over(path: Path) -> tuple[int, bool]:
    """The next sequence number, and whether a killed worker left its last line half-written."""
    lines, tail = 0, b"\n"
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            lines += block.count(b"\n")
            tail = (tail + block)[-_BLOCK_BYTES:]
    unended = not tail.endswith(b"\n")
    # Lines that were left out had numbers, too.
    told = (_seq_of(line) for line in reversed(tail.split(b"\n")))
    newest = next((seq for seq in told if seq is not None), 0)
    return max(lines + unended, newest) + 1, unended


def _seq_of(line: bytes) -> int | None:
    with contextlib.suppress(*_UNREADABLE):
        seq = _HEADER.decode(line).get("seq")
        return seq if isinstance(seq, int) else None
    return None
