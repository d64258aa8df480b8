"""Requests as anyone could have written them: nothing raised, nothing obeyed but requests."""

import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from asked import asked_of

from core.control_file import (
    LEFTOVER_SECONDS,
    ControlFileError,
    ControlRequest,
    read_request,
    waiting,
)
from core.event_log import EventReader, EventWriter
from core.events import Log, Request, RequestSeen
from core.run_dir import RunDir
from core.train.control import Control
from core.train.inbox import MOST_AT_ONCE

SOMEBODY = 54_321
CASES = 20_000
REQUESTS = ("pause", "continue", "evaluate", "checkpoint", "stop", "abort")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, put in, taken out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 1:
                changed[at:at] = chance.randbytes(chance.randrange(1, 6))
            case 2:
                del changed[at : at + chance.randrange(1, 6)]
            case 3:
                changed[at:at] = changed[at:] * chance.choice((1, 100))
            case _:
                del changed[at:]
    return bytes(changed)


def test_no_mutated_file_raises_or_is_obeyed_unless_valid(tmp_path: Path) -> None:
    chance, path, obeyed = random.Random(7), tmp_path / "request.json", 0
    for _ in range(CASES):
        record = {"id": "0a1b2c3d", "request": chance.choice(REQUESTS), "time": chance.random()}
        data = mutated(msgspec.json.encode(record), chance)
        # A file that is cut to nothing and written anew is flushed to the disk by some systems.
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            found = read_request(path)
        except ControlFileError:
            continue
        assert found is not None
        plain = msgspec.json.decode(data)
        assert plain | {"time": float(plain["time"])} == msgspec.to_builtins(found)
        assert set(plain) == {"id", "request", "time"}
        assert found.request in REQUESTS
        obeyed += 1
    assert 0 < obeyed < CASES


def make_link(path: Path) -> None:
    target = path.parent.with_name("elsewhere.json")
    target.write_bytes(valid("stop", time.time()))
    path.symlink_to(target)


def valid(request: Request, when: float) -> bytes:
    return msgspec.json.encode(ControlRequest(id="ab", request=request, time=when))


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        os.mkfifo,
        Path.mkdir,
        lambda path: path.write_bytes(valid("stop", 1) + b" " * 5000),
        lambda path: path.write_bytes(b"[" * 4000),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text('{"id": "x", "request": "dance", "time": 1}'),
        lambda path: path.write_text('{"id": 1, "request": "stop", "time": 1}'),
        lambda path: path.write_text('{"id": "x", "request": "stop", "time": 1, "new": 2}'),
    ],
)
def test_what_is_no_request_is_left_with_one_warning(run: RunDir, make) -> None:  # type: ignore[no-untyped-def]
    control = Control(run, EventWriter(run.events_file))
    path = run.control_folder / "0.json"
    make(path)
    run.request("evaluate")
    control.check()
    control.check()
    told = EventReader(run.events_file).poll()
    [warning] = [event for event in told if isinstance(event, Log)]
    assert warning.level == "warning"
    assert f"{path}: ignored" in warning.message
    assert path.exists()
    assert control.take("evaluate"), "what comes after it is heard"


def test_names_are_told_so_that_they_do_nothing(run: RunDir) -> None:
    control = Control(run, EventWriter(run.events_file))
    for name in (b"\xff\xfe", "\x1b]52;c;cHduZWQ=\x07\u202e\n".encode()):
        Path(os.fsdecode(os.fsencode(run.control_folder) + b"/" + name)).write_bytes(b"{}")
    control.check()
    told = EventReader(run.events_file).poll()
    assert len(told) == 2
    for event in told:
        assert isinstance(event, Log)
        assert event.message.isprintable()


def test_a_flood_of_what_is_none_is_told_of_in_bounds_and_drowns_nothing(run: RunDir) -> None:
    control = Control(run, EventWriter(run.events_file))
    for number in range(3 * MOST_AT_ONCE):
        (run.control_folder / f"0{number}.json").write_bytes(b"{}")
    run.request("evaluate")
    for _look in range(5):
        control.check()
    assert control.take("evaluate")
    told = EventReader(run.events_file).poll()
    assert sum(isinstance(event, Log) for event in told) == MOST_AT_ONCE + 1


def test_a_link_in_the_place_of_the_folder_is_not_followed(run: RunDir, tmp_path: Path) -> None:
    control = Control(run, EventWriter(run.events_file))
    run.request("evaluate")
    run.control_folder.rename(tmp_path / "elsewhere")
    run.control_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        run.request("stop")
    control.check()
    control.check()
    [warning] = EventReader(run.events_file).poll()
    assert isinstance(warning, Log)
    assert "no request can be heard here: Not a directory" in warning.message
    assert len(waiting(tmp_path / "elsewhere")) == 1


@pytest.mark.parametrize(
    ("owner", "user", "obeyed"),
    [(SOMEBODY, 0, False), (SOMEBODY, SOMEBODY, True), (0, SOMEBODY, True), (0, 0, True)],
)
def test_the_own_user_and_root_are_obeyed(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, owner: int, user: int, obeyed: bool
) -> None:
    Control(run, EventWriter(run.events_file))
    run.request("abort")
    [path] = run.control_folder.iterdir()
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[stat.ST_UID] = owner
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if obeyed:
        assert read_request(path) is not None
    else:
        with pytest.raises(ControlFileError, match=f"belongs to user {owner}"):
            read_request(path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users come through to theirs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_is_heard_in_the_run_of_another_user_and_a_third_is_not(public: Path) -> None:
    run = RunDir(public / "run")
    for folder in (run.path, run.control_folder):
        folder.mkdir(mode=0o700)
        os.chown(folder, SOMEBODY, SOMEBODY)
    asked = run.request("evaluate")
    forged = run.control_folder / "0.json"
    forged.write_bytes(valid("abort", time.time()))
    forged.chmod(0o644)
    os.chown(forged, SOMEBODY + 1, SOMEBODY + 1)
    os.seteuid(SOMEBODY)
    try:
        control = Control(run, EventWriter(run.events_file))
        control.check()
    finally:
        os.seteuid(0)
    warning, heard = EventReader(run.events_file).poll()
    assert isinstance(warning, Log)
    assert f"belongs to user {SOMEBODY + 1}" in warning.message
    assert isinstance(heard, RequestSeen)
    assert heard.id == asked
    assert waiting(run.control_folder) == [forged.name]


@pytest.mark.parametrize(
    ("request_", "age", "obeyed"),
    [
        ("checkpoint", 5.0, True),
        ("evaluate", 5.0, True),
        ("checkpoint", LEFTOVER_SECONDS + 1, False),
        ("stop", 5.0, False),
        ("abort", 5.0, False),
        ("pause", 5.0, False),
    ],
)
def test_a_request_of_a_dead_worker_is_obeyed_or_expires(
    run: RunDir, request_: Request, age: float, obeyed: bool
) -> None:
    began, control = time.time(), Control(run, EventWriter(run.events_file))
    (run.control_folder / "0.json").write_bytes(valid(request_, began - age))
    control.settle(began)
    control.check()
    assert control.take(request_) == obeyed
    told = EventReader(run.events_file).poll()
    assert isinstance(told[0], Log)
    assert ("obeyed" if obeyed else "expired") in told[0].message
    assert any(isinstance(event, RequestSeen) for event in told) == obeyed
    if obeyed:
        control = Control(run, EventWriter(run.events_file))
        control.settle(began + 1)
        control.check()
        assert not control.take(request_)


def test_each_that_a_dead_worker_left_has_its_own_end(run: RunDir) -> None:
    began, control = time.time(), Control(run, EventWriter(run.events_file))
    left: list[tuple[Request, float]] = [
        *(("stop", 9.0), ("checkpoint", LEFTOVER_SECONDS + 1)),
        *(("evaluate", 5.0), ("pause", 4.0), ("abort", 3.0)),
    ]
    for number, (request, age) in enumerate(left):
        (run.control_folder / f"00{number}.json").write_bytes(valid(request, began - age))
    control.settle(began)
    mine = run.request("checkpoint")
    control.check()
    assert control.take("evaluate")
    assert control.take("checkpoint")
    told = EventReader(run.events_file).poll()
    lines = [event.message for event in told if isinstance(event, Log)]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "it has expired" if request != "evaluate" else "it is obeyed now" for request, _age in left
    ]
    assert [e.id for e in told if isinstance(e, RequestSeen)] == ["ab", mine]
    assert asked_of(run) == []


def test_what_was_seen_is_not_obeyed_again_whatever_the_clock_said(run: RunDir) -> None:
    for obeyed in (True, False):
        control = Control(run, EventWriter(run.events_file))
        # A worker that is killed after it has heard a request leaves it there.
        (run.control_folder / "0.json").write_bytes(valid("checkpoint", time.time() + 1e6))
        control.settle(time.time())
        control.check()
        assert control.take("checkpoint") == obeyed


def test_a_request_to_this_worker_is_not_settled(run: RunDir) -> None:
    began = time.time()
    control = Control(run, EventWriter(run.events_file))
    run.request("checkpoint")
    control.settle(began)
    control.check()
    assert control.take("checkpoint")
    assert not any(isinstance(event, Log) for event in EventReader(run.events_file).poll())


def test_control_and_events_are_for_their_owner_alone(run: RunDir) -> None:
    before = os.umask(0)
    try:
        Control(run, EventWriter(run.events_file))
        run.request("pause")
    finally:
        os.umask(before)
    [asked] = run.control_folder.iterdir()
    for path in (asked, run.events_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.control_folder.stat().st_mode) == 0o700
