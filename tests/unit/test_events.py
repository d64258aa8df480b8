"""The events file: torn, corrupt and future lines never stop a reader."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.event_log import EventReader, EventWriter
from core.events import Log, StateChanged, Step

LOG = Log(level="info", message="마왕족발")


def write(path: Path, *messages: str) -> None:
    writer = EventWriter(path)
    for message in messages:
        writer.write(Log(level="info", message=message))
    writer.close()


def messages(reader: EventReader) -> list[str]:
    return [event.message for event in reader.poll() if isinstance(event, Log)]


def test_replay_then_tail(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert reader.poll() == []
    write(path, "a", "b")
    assert messages(reader) == ["a", "b"]
    assert reader.poll() == []
    write(path, "c")
    [event] = reader.poll()
    assert isinstance(event, Log)
    assert (event.message, event.seq) == ("c", 3)
    assert event.time > 1.7e9


def test_a_half_written_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    whole = path.read_bytes()
    reader = EventReader(path)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert reader.poll() == []
    path.write_bytes(whole)
    assert messages(reader) == ["a"]
    assert reader.problems == []


def test_a_torn_line_does_not_swallow_what_the_next_worker_writes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b")
    os.truncate(path, path.stat().st_size - 5)
    write(path, "c")
    reader = EventReader(path)
    assert messages(reader) == ["a", "c"]
    assert len(reader.problems) == 1
    assert "line 2" in reader.problems[0]


def test_a_corrupt_middle_is_reported_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    with path.open("ab") as file:
        file.write(b'\xff\xfe garbage\n{"kind":"step","v":1}\n\n')
    write(path, "b")
    reader = EventReader(path)
    assert messages(reader) == ["a", "b"]
    assert [problem.split(":")[0] for problem in reader.problems] == [
        "events.jsonl line 2",
        "events.jsonl line 3",
    ]


def test_kinds_and_keys_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'{"kind":"teleported","v":9,"seq":1,"time":1.0,"where":"here"}\n'
        b'{"kind":"state","v":2,"seq":2,"time":1.0,"state":"tuning","mood":"good"}\n'
        b'{"kind":"state","v":2,"seq":3,"time":1.0,"state":"dreaming"}\n'
    )
    reader = EventReader(path)
    [event] = reader.poll()
    assert event == StateChanged(v=2, seq=2, time=1.0, state="tuning")
    assert reader.problems == []
    assert reader.newer_lines == 3


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "events.jsonl"
    path.write_bytes(noise)
    write(path, "end")
    assert messages(EventReader(path))[-1:] == ["end"]


def test_events_are_written_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    line = path.read_text(encoding="utf-8")
    assert line.startswith('{"kind":"log","v":1,"seq":1,"time":')
    assert line.endswith('"level":"info","message":"a"}\n')
    assert Step.__struct_config__.tag == "step"
