"""The events file: torn, corrupt and future lines never stop a reader."""

import os
import threading
from pathlib import Path

import pytest
from faults import files_of_at_most, fill, small_disk
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


def test_names_that_are_no_utf_8_are_told_with_question_marks(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, f"{os.fsdecode(b'a' + bytes([255]))}: no such file", "b")
    reader = EventReader(path)
    assert messages(reader) == ["a?: no such file", "b"]
    assert reader.problems == []


def test_threads_share_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    together = threading.Barrier(4)

    def tell() -> None:
        together.wait()
        for _ in range(500):
            writer.write(LOG)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = EventReader(path)
    assert [event.seq for event in reader.poll()] == list(range(1, 2001))
    assert reader.problems == []


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


@settings(max_examples=50)
@given(
    rooms=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    words=st.lists(st.text(max_size=60), min_size=1, max_size=5),
)
def test_a_disk_that_fills_up_in_mid_line_costs_no_event(
    tmp_path_factory: pytest.TempPathFactory, rooms: list[int], words: list[str]
) -> None:
    """The file may grow by ``rooms`` bytes, again and again, before there is room for all."""
    path = tmp_path_factory.mktemp("full") / "events.jsonl"
    writer = EventWriter(path)
    reader = EventReader(path)
    seen: list[str] = []
    for room in rooms:
        with files_of_at_most(path.stat().st_size + room):
            for word in words:
                writer.write(Log(level="info", message=word))
        seen += messages(reader)
    writer.write(Log(level="info", message="end"))
    writer.close()
    seen += messages(reader)
    assert reader.problems == []
    assert [word for word in seen if not word.startswith("events.jsonl: ")] == [
        *words * len(rooms),
        "end",
    ]
    numbers = [event.seq for event in EventReader(path).poll()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_it_is_told_once_that_writing_works_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(LOG)
    with files_of_at_most(path.stat().st_size):
        for _ in range(3):
            writer.write(LOG)
    assert len(EventReader(path).poll()) == 1
    writer.write(LOG)
    writer.write(LOG)
    [*_, told, last] = events = messages(EventReader(path))
    assert len(events) == 7
    assert "nothing could be written for 0 s (File too large); 3 events waited" in told
    assert last == LOG.message


def test_what_waits_is_bounded_and_a_half_written_line_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.event_log._MOST_WAITING", 5)
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(LOG)
    with files_of_at_most(path.stat().st_size + 30):
        for number in range(20):
            writer.write(Log(level="info", message=f"{number}"))
    writer.write(Log(level="info", message="end"))
    reader = EventReader(path)
    found = messages(reader)
    assert reader.problems == []
    assert [*found[:2], *found[-5:-1]] == [LOG.message, "0", "17", "18", "19", "end"]
    assert "are left out" in found[-1]


def test_last_words_are_written_on_a_disk_that_stays_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk / "events.jsonl"
        writer = EventWriter(path, disk / ".reserve")
        writer.write(LOG)
        fill(disk)
        for number in range(2000):
            writer.write(Log(level="info", message=f"{number} " + "x" * 100))
        writer.write(Log(level="info", message="the end"))
        on_disk = len(EventReader(path).poll())
        assert on_disk < 1000
        writer.close()
        reader = EventReader(path)
        found = messages(reader)
        assert reader.problems == []
        assert found[-1] == "the end"
        assert found[-2].startswith("1999 ")
        assert [file.name for file in disk.iterdir()] in (
            ["events.jsonl", "filler"],
            ["filler", "events.jsonl"],
        )


def test_threads_that_share_a_writer_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)

    def write_many() -> None:
        for _ in range(200):
            writer.write(LOG)

    threads = [threading.Thread(target=write_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [event.seq for event in EventReader(path).poll()]
    assert numbers == list(range(1, 801))


def test_numbers_go_on_after_the_newest_although_lines_were_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.continue_after(9)
    writer.write(Log(level="info", message="a"))
    writer.close()
    again = EventWriter(path)
    again.write(Log(level="info", message="b"))
    assert [event.seq for event in EventReader(path).poll()] == [10, 11]
