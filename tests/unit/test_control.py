"""Requests and signals reach the worker at its safe points."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import asked_of
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import GpuLostError, StoppedError
from core.event_log import EventReader, EventWriter
from core.events import AnyEvent, Log, Request, RequestSeen, StateChanged
from core.run_dir import RunDir
from core.train.control import AbortedError, Control, Heartbeat
from core.train.inbox import MOST_AT_ONCE
from core.train.signals import STOP_SIGNALS, StopSignals


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


@pytest.fixture
def heard() -> StopSignals:
    return StopSignals()


@pytest.fixture
def control(run: RunDir, heard: StopSignals) -> Control:
    return Control(run, EventWriter(run.events_file), heard)


@pytest.fixture
def signals(heard: StopSignals) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    heard.install()
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def told(run: RunDir) -> list[AnyEvent]:
    return EventReader(run.events_file).poll()


def seen(run: RunDir) -> list[tuple[str, Request]]:
    """What the worker has heard, in order."""
    return [(event.id, event.request) for event in told(run) if isinstance(event, RequestSeen)]


def logged(run: RunDir) -> list[str]:
    return [event.message for event in told(run) if isinstance(event, Log)]


def test_nothing_asked_is_nothing_done(run: RunDir, control: Control) -> None:
    control.check()
    assert told(run) == []


def test_a_stop_is_acknowledged_and_obeyed(run: RunDir, control: Control) -> None:
    asked = run.request("stop")
    with pytest.raises(StoppedError):
        control.check()
    [event] = told(run)
    assert isinstance(event, RequestSeen)
    assert (event.id, event.request) == (asked, "stop")


def test_an_abort_is_obeyed_where_a_stop_has_to_wait(run: RunDir, control: Control) -> None:
    run.request("stop")
    control.check_abort()
    run.request("abort")
    with pytest.raises(AbortedError):
        control.check_abort()


def test_a_request_is_taken_once(run: RunDir, control: Control) -> None:
    run.request("checkpoint")
    control.check()
    assert control.take("checkpoint")
    control.check()
    assert not control.take("checkpoint")
    run.request("checkpoint")
    control.check()
    assert control.take("checkpoint")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["pause", "continue", "evaluate", "checkpoint"]), max_size=6))
def test_all_that_is_asked_between_two_looks_is_heard_in_order(asked: list[Request]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        control = Control(run, EventWriter(run.events_file))
        ids = [run.request(request) for request in asked]
        control._poll()
        assert seen(run) == list(zip(ids, asked, strict=True))
        assert asked_of(run) == []
    for request in ("evaluate", "checkpoint"):
        assert control.take(request) == (request in asked)
    pauses = [request for request in asked if request in {"pause", "continue"}]
    assert control.take("pause") == (pauses[-1:] == ["pause"])


@pytest.mark.parametrize(("stronger", "error"), [("stop", StoppedError), ("abort", AbortedError)])
def test_a_stop_comes_before_what_waits_with_it_and_says_what_is_given_up(
    run: RunDir, control: Control, stronger: Request, error: type[Exception]
) -> None:
    asked: list[Request] = ["pause", "evaluate", stronger, "checkpoint", "evaluate"]
    for request in asked:
        run.request(request)
    for _look in range(2):
        with pytest.raises(error):
            control.check()
    assert [request for _id, request in seen(run)] == asked
    assert logged(run) == [
        f"given up, since {stronger} was asked for, too: checkpoint, evaluate, pause"
    ]
    assert not any(isinstance(event, StateChanged) for event in told(run)), "it never paused"


def test_a_look_where_nothing_is_asked_opens_the_folder_alone(
    run: RunDir, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.control_folder / "notes.txt").write_text("no request")
    control.check()
    real, opened = os.open, []

    def open_(path: str | Path, *arguments: int, **options: int) -> int:
        opened.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_)
    for _look in range(3):
        control.check()
    assert opened == [run.control_folder] * 3


def test_many_that_wait_are_all_heard_a_part_at_a_time(run: RunDir, control: Control) -> None:
    ids = [run.request("checkpoint") for _ in range(MOST_AT_ONCE + 5)] + [run.request("abort")]
    control.check_abort()
    assert [id_ for id_, _request in seen(run)] == ids[:MOST_AT_ONCE]
    with pytest.raises(AbortedError):
        control.check_abort()
    assert [id_ for id_, _request in seen(run)] == ids
    [line, _given_up] = logged(run)
    assert f"more than {MOST_AT_ONCE} requests wait" in line


def test_what_cannot_be_read_just_now_is_heard_later(
    run: RunDir, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.request("evaluate")

    def fail(_descriptor: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        control.check()
        control.check()
    assert not control.take("evaluate")
    [line] = logged(run)
    assert line.endswith("can't be read now: Input/output error")
    control.check()
    assert control.take("evaluate")


def test_what_cannot_be_removed_is_obeyed_once(
    run: RunDir, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.request("evaluate")

    def fail(_path: Path, **_options: bool) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", fail)
    control.check()
    assert control.take("evaluate")
    control.check()
    assert not control.take("evaluate")
    [line] = logged(run)
    assert line.endswith("heard, but can't be removed: Read-only file system")


def test_who_does_not_hold_the_run_leaves_its_requests_alone(run: RunDir, control: Control) -> None:
    run.request("abort")
    other = Control(None, EventWriter(Path(os.devnull)))
    other.settle(time.time())
    other.check()
    with pytest.raises(AbortedError):
        control.check()


@pytest.mark.parametrize("was_seen", [True, False])
def test_a_stop_that_is_over_keeps_nobody_from_asking(
    run: RunDir, control: Control, was_seen: bool
) -> None:
    run.request("stop")
    if was_seen:
        with pytest.raises(StoppedError):
            control.check()
    again = Control(run, EventWriter(run.events_file))
    again.settle(time.time())
    run.request("evaluate")
    again.check()
    assert again.take("evaluate")


def test_a_pause_waits_and_goes_back_to_where_it_was(run: RunDir, control: Control) -> None:
    control.enter("tuning")
    run.request("pause")
    waiting = threading.Thread(target=control.check)
    waiting.start()
    while not any(
        isinstance(event, StateChanged) and event.state == "paused" for event in told(run)
    ):
        assert waiting.is_alive()
    run.request("continue")
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert [event.state for event in told(run) if isinstance(event, StateChanged)] == [
        "tuning",
        "paused",
        "tuning",
    ]


class FailedCard:
    """The watch of a card that has failed; it's known once it has been looked at."""

    def __init__(self) -> None:
        self.known = False

    def check(self) -> None:
        if self.known:
            raise GpuLostError("Xid 79")

    def confirm(self) -> None:
        self.known = True
        self.check()


def test_a_card_that_failed_comes_before_all_requests(run: RunDir, control: Control) -> None:
    card = FailedCard()
    control.card = card  # type: ignore[assignment]
    control.check()
    with pytest.raises(GpuLostError):
        control.confirm_card()
    run.request("abort")
    for obey in (control.check, control.check_abort, lambda: control.wait(60)):
        with pytest.raises(GpuLostError):
            obey()


def test_a_pause_ends_when_the_card_fails(run: RunDir, control: Control) -> None:
    card = FailedCard()
    control.card = card  # type: ignore[assignment]
    ended: list[str] = []

    def pause() -> None:
        try:
            control.check()
        except GpuLostError as error:
            ended.append(str(error))

    run.request("pause")
    waiting = threading.Thread(target=pause)
    waiting.start()
    while not any(isinstance(event, StateChanged) for event in told(run)):
        assert waiting.is_alive()
    card.known = True
    waiting.join(timeout=30)
    assert ended == ["Xid 79"]


def test_a_stale_continue_does_not_end_the_next_pause(run: RunDir, control: Control) -> None:
    run.request("continue")
    control.check()
    run.request("pause")
    waiting = threading.Thread(target=control.check, daemon=True)
    waiting.start()
    waiting.join(timeout=1)
    assert waiting.is_alive()
    run.request("continue")
    waiting.join(timeout=30)
    assert not waiting.is_alive()


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_asks_for_a_stop(control: Control, number: int) -> None:
    control.check()
    os.kill(os.getpid(), number)
    with pytest.raises(StoppedError):
        control.check()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGHUP])
def test_a_hang_up_is_no_second_request(first: int) -> None:
    code = f"""
import os, signal, threading
from functools import partial
from core.train.signals import StopSignals
signals = StopSignals()
signals.leave = partial(print, flush=True)
signals.install()
for number in ({int(first)}, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    os.kill(os.getpid(), number)
threading.Event().wait(60)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    second = "SIGINT" if first == signal.SIGTERM else "SIGTERM"
    assert (done.stdout.strip(), done.returncode) == (second, 3)


def test_the_heartbeat_beats_until_it_ends() -> None:
    beats = 0
    third = threading.Event()

    def touch() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            third.set()

    with Heartbeat(touch, seconds=0.01):
        assert third.wait(30)
    after = beats
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())
    assert beats == after


def test_the_heartbeat_outlives_a_disk_that_fails() -> None:
    asked = 0
    recovered = threading.Event()

    def touch() -> None:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        recovered.set()

    with Heartbeat(touch, seconds=0.01):
        assert recovered.wait(30)
