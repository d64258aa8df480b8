"""A worker is asked by a signal where the disk takes no request."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import asked_of

from core.asking import Asked, ask
from core.run_dir import RunDir

WORKER = """
import sys
from pathlib import Path
from core import lock
from core.train.signals import StopSignals
signals = StopSignals()
signals.leave = lambda name: print("leaves at once", flush=True)
signals.install()
with lock.hold(Path(sys.argv[1]), str):
    print("holds the run", flush=True)
    signals.wake.wait()
    print("stops", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    run.control_folder.mkdir()
    return run


@pytest.fixture
def worker(run: RunDir) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the run and hears signals as a worker does."""
    command = [sys.executable, "-c", WORKER, str(run.lock_file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert says(process) == "holds the run"
        yield process
        process.kill()


@pytest.fixture
def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_where_there_is_room_it_is_a_request(run: RunDir, worker: subprocess.Popen[str]) -> None:
    [asked, waits] = [ask(run, "stop"), *asked_of(run)]
    assert asked == Asked(request_id=waits.id)
    assert worker.poll() is None


@pytest.mark.usefixtures("_full")
def test_a_stop_asked_twice_is_a_stop_and_an_abort_leaves_at_once(
    run: RunDir, worker: subprocess.Popen[str]
) -> None:
    for _time in range(2):
        asked = ask(run, "stop")
        assert asked.request_id is None
        assert asked.failure is not None
        assert asked.failure.errno == errno.ENOSPC
    assert says(worker) == "stops"
    assert worker.poll() is None
    ask(run, "abort")
    assert says(worker) == "leaves at once"
    assert worker.wait(30) == 3


@pytest.mark.usefixtures("_full")
def test_an_abort_alone_leaves_at_once(run: RunDir, worker: subprocess.Popen[str]) -> None:
    ask(run, "abort")
    assert worker.wait(30) == 3


@pytest.mark.usefixtures("_full")
def test_what_no_signal_says_is_refused(run: RunDir, worker: subprocess.Popen[str]) -> None:
    for request in ("pause", "continue", "evaluate", "checkpoint"):
        with pytest.raises(OSError, match="No space left"):
            ask(run, request)
    assert worker.poll() is None


@pytest.mark.usefixtures("_full")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a run away")
def test_no_signal_reaches_a_process_of_another_user_than_the_runs(
    run: RunDir, worker: subprocess.Popen[str]
) -> None:
    os.chown(run.path, 54_321, 54_321)
    with pytest.raises(OSError, match="No space left"):
        ask(run, "abort")
    os.chown(run.path, 0, 0)
    ask(run, "stop")
    assert says(worker) == "stops"
    assert worker.poll() is None, "nothing came before the stop"


@pytest.mark.usefixtures("_full")
def test_where_nobody_works_the_disk_is_what_is_told(run: RunDir) -> None:
    with pytest.raises(OSError, match="No space left"):
        ask(run, "stop")
