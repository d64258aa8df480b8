"""The disk of a real run fills up, and has room again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_box import Box, wait_for_end, wait_until
from faults import fill, small_disk
from test_run import start, weights

from core.event_log import EventReader
from core.events import SaveFailed
from core.run_dir import RunDir, create_run
from core.run_watch import RunWatch
from core.train.checkpoints import checkpoint
from kocr_tui.cli import main

pytestmark = pytest.mark.e2e
MIB = 1 << 20


@pytest.fixture
def run(box: Box, tmp_path: Path) -> Iterator[RunDir]:
    """A run in a small file system of its own, with its certificate."""
    with small_disk(tmp_path / "disk", 24 * MIB) as disk:
        run = create_run(disk / "runs", box.config)
        shutil.copy(box.home / box.certificate, run.certificate_file)
        yield run


def failures(run: RunDir) -> list[SaveFailed]:
    return [event for event in EventReader(run.events_file).poll() if isinstance(event, SaveFailed)]


def heartbeats(running: RunWatch, count: int) -> None:
    """Waits until the worker has shown life so many times."""
    seen = set()

    def counted(_watch: RunWatch) -> bool:
        seen.add(running.run.heartbeat_file.stat().st_mtime_ns)
        return len(seen) > count

    wait_until(running, counted)


def test_a_full_disk_is_waited_out_and_the_run_ends_whole(
    box: Box, finished: RunDir, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First there is room for words alone, then for nothing at all, then for all again."""
    disk = run.path.parents[1]
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    run.request("checkpoint")
    wait_until(running, lambda seen: seen.state.checkpoint_step is not None)
    filler = fill(disk, left=64 << 10)
    run.request("checkpoint")
    wait_until(running, lambda _seen: bool(failures(run)))
    [failure, *_] = failures(run)
    assert "can't save the checkpoint" in failure.message
    assert failure.free_bytes is not None
    assert failure.free_bytes <= 64 << 10
    failed_at = failure.step
    wait_until(running, lambda seen: seen.state.step > failed_at)
    path, passed_over = checkpoint.newest(run.checkpoints)
    assert path is not None
    assert passed_over == []
    filler.unlink()
    filler = fill(disk)
    heartbeats(running, 3)
    filler.unlink()
    run.request("checkpoint")
    wait_for_end(running)
    assert running.state.finished is not None
    assert (running.state.finished.state, running.state.finished.exit_code) == ("done", 0)
    assert running.problems == []
    assert [step.step for step in running.state.steps] == list(range(1, 25))
    assert weights(run) == weights(finished)
    assert "Traceback" not in run.log_file.read_text()


def test_a_run_that_is_stopped_while_its_disk_is_full_says_what_is_kept(
    box: Box,
    run: RunDir,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not one byte is free, and yet its last words are to be read."""
    disk = run.path.parents[1]
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    run.request("checkpoint")
    wait_until(running, lambda seen: seen.state.checkpoint_step is not None)
    at = running.state.checkpoint_step
    assert at is not None
    wait_until(running, lambda seen: seen.state.step > at)
    fill(disk)
    assert main(["stop", run.id, "--runs", str(run.path.parent)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("so the worker was sent a signal: the disk is full")
    running.poll()
    end = running.state.finished
    assert end is not None
    assert (end.state, end.exit_code) == ("failed", 1)
    assert end.message.startswith("stopped on request; ")
    assert "can't save the checkpoint" in end.message
    assert f"resume goes on from step-{at:08d}" in end.message
    assert running.problems == []
    assert "Traceback" not in run.log_file.read_text()
    path, passed_over = checkpoint.newest(run.checkpoints)
    assert (path, passed_over) == (run.checkpoints / f"step-{at:08d}", [])
