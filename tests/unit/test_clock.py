"""A clock that is set while a run goes on neither kills it nor hides that it hangs."""

import os
import time
from pathlib import Path

import pytest

from core.config import DataConfig, ModelConfig, RunConfig
from core.run_dir import RunDir, create_run
from core.run_watch import HeartbeatWatch, watch

HOUR = 3600.0


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    data = DataConfig(train="train.jsonl", validation="validation.jsonl")
    return create_run(tmp_path, RunConfig(name="clock", model=ModelConfig(path="x"), data=data))


def beat(run: RunDir, at: float) -> None:
    run.heartbeat_file.touch()
    os.utime(run.heartbeat_file, (at, at))


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_the_age_of_a_heartbeat_follows_no_jump_of_the_clock(
    run: RunDir, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    now = 100.0
    heartbeat = HeartbeatWatch(run, lambda: now)
    assert heartbeat.age() is None
    beat(run, began - 3)
    assert heartbeat.age() == pytest.approx(3, abs=1)
    monkeypatch.setattr(time, "time", lambda: began + jump)
    now += 20
    assert heartbeat.age() == pytest.approx(23, abs=1), "it hangs, whatever the clock says"
    beat(run, began + jump)
    assert heartbeat.age() == 0, "it lives, whatever the clock says"


def test_a_run_from_the_future_is_not_about_to_start(run: RunDir) -> None:
    assert watch(run).live_state() == "queued"
    later = time.time() + HOUR
    os.utime(run.config_file, (later, later))
    assert watch(run).live_state() == "died"
