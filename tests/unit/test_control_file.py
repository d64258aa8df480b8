"""control.json as anyone could have written it: nothing raised, nothing obeyed but requests."""

import os
import random
import stat
import time
from pathlib import Path

import msgspec
import pytest

from core.control_file import (
    LEFTOVER_SECONDS,
    ControlFileError,
    ControlRequest,
    read_request,
)
from core.event_log import EventReader, EventWriter
from core.events import Log, Request, RequestSeen
from core.run_dir import RunDir
from core.train.control import Control

CASES = 20_000
REQUESTS = ("pause", "continue", "evaluate", "checkpoint", "stop", "abort")


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
    chance, path, obeyed = random.Random(7), tmp_path / "control.json", 0
    for _ in range(CASES):
        record = {"id": "0a1b2c3d", "request": chance.choice(REQUESTS), "time": chance.random()}
        data = mutated(msgspec.json.encode(record), chance)
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
    target = path.with_name("elsewhere.json")
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
def test_what_is_no_request_is_ignored_with_one_warning(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    run = RunDir(tmp_path)
    make(run.control_file)
    control = Control(run, EventWriter(run.events_file))
    control.check()
    control.check()
    [warning] = EventReader(run.events_file).poll()
    assert isinstance(warning, Log)
    assert warning.level == "warning"
    assert "control.json: ignored" in warning.message


def test_another_user_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path)
    run.request("abort")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ControlFileError, match="belongs to user"):
        read_request(run.control_file)
    assert run.pending_request() is None


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
    tmp_path: Path, request_: Request, age: float, obeyed: bool
) -> None:
    run, began = RunDir(tmp_path), time.time()
    run.control_file.write_bytes(valid(request_, began - age))
    control = Control(run, EventWriter(run.events_file))
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


def test_what_was_seen_is_not_obeyed_again_whatever_the_clock_said(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.control_file.write_bytes(valid("checkpoint", time.time() + 1e6))
    for obeyed in (True, False):
        control = Control(run, EventWriter(run.events_file))
        control.settle(time.time())
        control.check()
        assert control.take("checkpoint") == obeyed


def test_a_request_to_this_worker_is_not_settled(tmp_path: Path) -> None:
    run, began = RunDir(tmp_path), time.time()
    control = Control(run, EventWriter(run.events_file))
    run.request("checkpoint")
    control.settle(began)
    assert not control.take("checkpoint")
    control.check()
    assert control.take("checkpoint")


def test_control_and_events_are_for_their_owner_alone(tmp_path: Path) -> None:
    run, before = RunDir(tmp_path), os.umask(0)
    try:
        run.request("pause")
        EventWriter(run.events_file).close()
    finally:
        os.umask(before)
    for path in (run.control_file, run.events_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
