"""Requests and signals reach the worker at its safe points."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import GpuLostError, StoppedError
from core.event_log import EventReader, EventWriter
from core.events import AnyEvent, RequestSeen, StateChanged
from core.run_dir import RunDir
from core.train.control import AbortedError, Control, Heartbeat
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


@pytest.mark.parametrize("seen", [True, False])
def test_a_stop_that_is_over_keeps_nobody_from_asking(
    run: RunDir, control: Control, seen: bool
) -> None:
    run.request("stop")
    if seen:
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
