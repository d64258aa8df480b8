"""Real workers on runs that are not as they were begun: refused, allowed, moved, prolonged."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, wait_for_end, wait_until, write_config
from small_run import small_config

from core.contract import read_contract, write_contract
from core.demo.prepare import demo_config
from core.events import Differed, ProbeStarted, Validated
from core.launch import launch
from core.run_dir import RunDir
from core.run_watch import RunWatch, watch

pytestmark = pytest.mark.e2e
LAST = "checkpoints/step-00000024"


@pytest.fixture(scope="module")
def stopped(tuned_home: Path) -> RunDir:
    """A run that was stopped somewhere on its way; copied for each case."""
    box = Box(tuned_home, small_config(tuned_home))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOCR_HOME", str(box.home))
        run = box.new_run()
        launch(run)
        running = RunWatch(run)
        wait_until(running, lambda seen: seen.state.step >= 5)
        run.request("stop")
        wait_for_end(running)
    assert running.live_state() == "stopped"
    return run


def copy_of(run: RunDir, folder: Path, name: str) -> RunDir:
    shutil.copytree(run.path, folder / name)
    return RunDir(folder / name)


def moved_data(box: Box, run: RunDir, folder: Path) -> Path:
    """Puts a copy of the data into ``folder``, and its path into the run's config."""
    shutil.copytree(box.home / "signs", folder)
    config = run.config()
    data = msgspec.structs.replace(
        config.data,
        train=str(folder / "train.jsonl"),
        validation=str(folder / "validation.jsonl"),
    )
    write_config(run.config_file, msgspec.structs.replace(config, data=data))
    return folder


def test_what_differs_is_refused_in_one_line_and_goes_on_where_allowed(
    box: Box, stopped: RunDir, tmp_path: Path
) -> None:
    run = copy_of(stopped, box.runs, "edited")
    train = moved_data(box, run, tmp_path / "signs") / "train.jsonl"
    rows = train.read_text(encoding="utf-8").splitlines(keepends=True)
    row = json.loads(rows[2])
    row["messages"][1]["content"][0]["text"] = "다른 가게"
    rows[2] = json.dumps(row, ensure_ascii=False) + "\n"
    train.write_text("".join(rows), encoding="utf-8")
    validation = train.with_name("validation.jsonl")
    half = validation.read_text(encoding="utf-8").splitlines(keepends=True)[:12]
    validation.write_text("".join(half), encoding="utf-8")
    config = run.config()
    learning = msgspec.structs.replace(config.train, learning_rate=2e-3)
    write_config(run.config_file, msgspec.structs.replace(config, train=learning))
    contract = read_contract(run)
    assert contract is not None
    older = {**contract.versions, "torch": "1.0.0"}
    write_contract(run, msgspec.structs.replace(contract, versions=older))

    refused = box.kocr("resume", run.id, "--headless", "--allow", "versions-changed")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    names = ["config-changed", "data-changed", "validation-changed", "versions-changed"]
    lines = refused.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[-5:-1]] == names
    assert "train.jsonl: 48 rows" in lines[-4]
    assert lines[-1].startswith(f"failed: {run.id}: config-changed: train.learning_rate = 0.002")
    assert lines[-1].endswith(
        f"put it back, or: kocr-tui resume {run.id} "
        + " ".join(f"--allow {name}" for name in names)
    )
    status = box.status(run)
    assert [one["name"] for one in status["refused"]] == names
    assert status["checkpoint_step"] == run.newest_step()

    allowed = [part for name in names for part in ("--allow", name)]
    went_on = box.kocr("resume", run.id, "--headless", *allowed)
    assert went_on.returncode == 0, went_on.stdout + went_on.stderr
    events = run.events().poll()
    [at] = [place for place, event in enumerate(events) if isinstance(event, Differed)]
    differed = events[at]
    assert isinstance(differed, Differed)
    assert [one.name for one in differed.differences] == names
    selections = [
        event
        for event in events[at:]
        if isinstance(event, Validated) and event.scope == "selection"
    ]
    assert selections[0].best
    assert selections[0].scores.n == 3
    assert box.status(run)["refused"] is None


def test_moved_folders_need_no_leave_and_end_with_the_same_bytes(
    box: Box, stopped: RunDir, finished: RunDir, tmp_path: Path
) -> None:
    run = copy_of(stopped, tmp_path / "other-runs", "moved")
    shutil.copytree(demo_config().model.path, tmp_path / "base")
    moved_data(box, run, tmp_path / "signs")
    config = run.config()
    model = msgspec.structs.replace(config.model, path=str(tmp_path / "base"))
    write_config(run.config_file, msgspec.structs.replace(config, model=model))
    resumed = box.kocr("--runs", str(tmp_path / "other-runs"), "resume", "moved", "--headless")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    for name in ("adapter/adapter_model.safetensors", "optimizer.safetensors"):
        assert (run.path / LAST / name).read_bytes() == (finished.path / LAST / name).read_bytes()
    kinds = {type(event) for event in run.events().poll()}
    assert not kinds & {Differed, ProbeStarted}


def test_a_run_that_is_done_trains_the_epochs_that_it_is_given_later(
    box: Box, finished: RunDir
) -> None:
    run = copy_of(finished, box.runs, "further")
    over = box.kocr("resume", run.id, "--headless")
    assert over.returncode == 2
    assert "done" in over.stderr
    text = run.config_file.read_text(encoding="utf-8")
    assert "epochs = 2" in text
    run.config_file.write_text(text.replace("epochs = 2", "epochs = 3"), encoding="utf-8")
    resumed = box.kocr("resume", run.id, "--headless")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    state = watch(run).state
    assert [step.step for step in state.steps] == list(range(1, 37))
    assert state.finished is not None
    assert state.finished.state == "done"
    assert json.loads(run.contract_file.read_bytes())["config"]["train.epochs"] == 3
