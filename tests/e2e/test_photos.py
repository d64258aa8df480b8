"""Runs whose photos turn out to be broken, or go away, while they train."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, wait_for_end, wait_until
from test_run import start, weights

from core.event_log import EventReader
from core.events import RowSetAside
from core.run_dir import RunDir
from core.run_watch import watch

pytestmark = pytest.mark.e2e


def set_aside(run: RunDir) -> list[RowSetAside]:
    events = EventReader(run.events_file).poll()
    return [event for event in events if isinstance(event, RowSetAside)]


def test_a_photo_that_breaks_off_is_replaced_and_told_once(box: Box, tmp_path: Path) -> None:
    shutil.copytree(box.home / "signs", tmp_path / "signs")
    broken = tmp_path / "signs" / "images" / "train" / "000007.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    data = msgspec.structs.replace(box.config.data, train=str(tmp_path / "signs" / "train.jsonl"))
    run = replace(box, config=msgspec.structs.replace(box.config, data=data)).new_run()
    done = box.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stderr
    assert watch(run).live_state() == "done"
    [event] = set_aside(run)
    assert event.row == 7
    assert event.replaced_by not in (None, 7)
    assert str(broken) in event.reason
    assert "can't be decoded" in event.reason
    assert f"row {event.replaced_by} taken in its place" in done.stdout


def test_when_the_photos_are_gone_the_run_saves_and_goes_on_once_they_are_back(
    box: Box, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = box.home / "signs" / "images" / "train"
    away = images.with_name("away")
    run = box.new_run()
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    images.rename(away)
    try:
        wait_for_end(running)
    finally:
        away.rename(images)
    ended = running.state.finished
    assert ended is not None
    assert (ended.state, ended.exit_code) == ("failed", 1)
    assert "no such file; see whether the disk with the photos is there, then resume" in (
        ended.message
    )
    assert running.state.checkpoint_step == running.state.step
    resumed = box.kocr("resume", run.id, "--headless")
    assert resumed.returncode == 0, resumed.stderr
    assert weights(run) == weights(finished)
