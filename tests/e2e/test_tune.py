"""`tune` by a real worker: it proves what fits, leaves, and a resume trains with it."""

import json
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, wait_for_end, wait_until, write_config
from small_run import small_config

from core.demo.signboards import write_dataset
from core.events import Finished
from core.launch import launch
from core.planning import PlanReport
from core.run_dir import create_run, list_runs
from core.run_watch import RunWatch, watch
from kocr_tui.reading.plan_watch import PlanWatch
from kocr_tui.views.choice import choose

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


def test_another_setup_chosen_while_probing_is_proved_and_still_nothing_trains(
    fresh: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(fresh.home))
    run = create_run(fresh.runs, fresh.config)
    watched = RunWatch(run)
    launch(run, tune_only=True)
    wait_until(watched, lambda seen: seen.state.probing is not None)
    plans = PlanWatch(run)
    [before] = plans.read().setups
    assert (before.checkpointing, before.peak) == ("2", "predicted")
    other = msgspec.structs.replace(before, checkpointing="all")

    choose(run, other)
    attempts = [event for event in run.events().poll() if isinstance(event, Finished)]
    assert [event.state for event in attempts] == ["aborted"]
    wait_for_end(watched)

    certificate = json.loads(run.certificate_file.read_bytes())
    assert certificate["setup"]["checkpointing"] == "all"
    assert certificate["setup"]["max_pixels"] == other.max_pixels
    config = run.config()
    assert (config.train.checkpointing, config.tune.max_pixels) == ("all", other.max_pixels)
    state = watched.state
    assert state.finished is not None
    assert (state.finished.state, state.finished.exit_code) == ("stopped", 0)
    assert (state.training, state.planned and state.planned.total) == (None, 1)
    assert state.tuned is not None
    assert not state.tuned.reused
    chosen, rest = plans.read().setups
    assert (chosen.checkpointing, chosen.peak, chosen.chosen) == ("all", "measured", True)
    assert (rest.checkpointing, rest.chosen) == ("2", False)


def test_a_resume_says_what_voided_the_certificate_and_proves_anew(fresh: Box) -> None:
    assert fresh.kocr("tune", "-c", str(fresh.home / "run.toml"), "--json").returncode == 0
    [run] = list_runs(fresh.runs)
    config = run.config()
    lora = msgspec.structs.replace(config.lora, rank=config.lora.rank + 1)
    write_config(run.config_file, msgspec.structs.replace(config, lora=lora))
    done = fresh.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    told = f"no longer holds: lora.rank {config.lora.rank} → {lora.rank}"
    [line] = [line for line in done.stdout.splitlines() if told in line]
    assert done.stdout.index(line) < done.stdout.index("probe 1")
    assert watch(run).state.voided is None
