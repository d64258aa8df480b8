"""`tune` by a real worker: it proves what fits, leaves, and a resume trains with it."""

import json
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, small_config, write_config

from core.demo.signboards import write_dataset
from core.planning import PlanReport
from core.run_dir import list_runs
from core.run_state import watch

pytestmark = pytest.mark.e2e


@pytest.fixture
def fresh(tmp_path: Path) -> Box:
    """A box whose data no run has seen yet, at a fixed pixel budget: one probe decides."""
    write_dataset(tmp_path / "signs", train=8, validation=12, seed=5)
    box = Box(tmp_path, small_config(tmp_path))
    write_config(tmp_path / "run.toml", box.config)
    return box


def test_tuning_for_programs_is_one_object_and_trains_nothing(fresh: Box) -> None:
    done = fresh.kocr("tune", "-c", str(fresh.home / "run.toml"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [run] = list_runs(fresh.runs)
    assert told.pop("run") == run.id
    report = msgspec.convert(told, PlanReport)
    assert report == msgspec.json.decode(run.plan_file.read_bytes(), type=PlanReport)
    assert report.choice is not None
    assert (report.choice.max_pixels, report.choice.peak) == (48 * 784, "measured")
    assert report.probes == 1
    assert f"{run.id} tunes in the background" in done.stderr
    state = watch(run).state
    assert state.finished is not None
    assert (state.finished.state, state.finished.exit_code) == ("stopped", 0)
    assert state.training is None


def test_tuning_for_people_ends_with_how_to_train(fresh: Box) -> None:
    done = fresh.kocr("tune", "-c", str(fresh.home / "run.toml"), "--why")
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = list_runs(fresh.runs)
    printed = done.stdout.splitlines()
    assert printed[0].startswith(f"{run.id} tunes in the background")
    assert printed[-1] == f"`kocr-tui resume {run.id}` trains with it"
    assert any(line.startswith("▸ fp32 1 in 2 ") for line in printed)
    assert "Why" in printed
