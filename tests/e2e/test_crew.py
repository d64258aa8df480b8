"""Several processes that train together are one run."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest
from e2e_box import Box, wait_for_end, wait_until
from small_run import small_config

from core.config import RunConfig
from core.launch import launch
from core.run_dir import RunDir
from core.run_watch import RunWatch, watch

pytestmark = pytest.mark.e2e
STEPS = 24
CERTIFICATE = "crew-certificate.json"


@pytest.fixture(scope="module")
def alone(tuned_home: Path) -> RunDir:
    """A finished run of one process, without dropout, whose masks follow the order of samples."""
    box = Box(tuned_home, small_config(tuned_home))
    run = crew_box(box, 1).new_run()
    done = box.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(run.certificate_file, tuned_home / CERTIFICATE)
    return run


def crew_box(box: Box, processes: int) -> Box:
    replace = msgspec.structs.replace
    config: RunConfig = replace(
        box.config,
        lora=replace(box.config.lora, dropout=0.0),
        device=replace(box.config.device, processes=processes),
    )
    return Box(box.home, config, CERTIFICATE)


def losses(run: RunDir) -> list[float]:
    steps = watch(run).state.steps
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert {step.samples for step in steps} == {4}
    return [step.loss for step in steps]


def begin(box: Box, monkeypatch: pytest.MonkeyPatch) -> RunWatch:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    run = crew_box(box, 2).new_run()
    launch(run)
    return RunWatch(run)


def test_two_processes_stop_and_go_on_with_the_losses_of_one(
    box: Box, alone: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(box, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 5)
    running.run.request("stop")
    wait_for_end(running)
    assert box.status(running.run)["state"] == "stopped"
    resumed = box.kocr("resume", running.run.id, "--headless")
    assert resumed.returncode == 0, resumed.stderr + running.run.log_file.read_text()
    assert losses(running.run) == pytest.approx(losses(alone), rel=1e-4)


@pytest.mark.usefixtures("alone")
def test_a_process_that_dies_ends_the_run_with_its_reason(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(box, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    pid = running.worker_pid()
    assert pid is not None
    [follower] = [
        child
        for child in psutil.Process(pid).children()
        if "core.train.follower" in child.cmdline()
    ]
    os.kill(follower.pid, signal.SIGKILL)
    wait_for_end(running)
    running.poll()
    assert running.state.finished is not None
    assert running.state.finished.state == "failed"
    assert "process 2 of 2 ended with exit status -9" in running.state.finished.message


def test_accelerate_launch_has_the_loss_of_one_process_with_twice_the_accumulation(
    box: Box, alone: RunDir, tmp_path: Path
) -> None:
    run = crew_box(box, 2).new_run()
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--module", "core.train.worker", str(run.path)),
    ]
    log = tmp_path / "launch.log"
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
            env={**box.environment, "ACCELERATE_USE_CPU": "true"},
            timeout=240,
        )
    assert done.returncode == 0, log.read_text()[-3000:]
    assert losses(run) == pytest.approx(losses(alone), rel=1e-4)
    assert losses(run) != losses(alone), "sums in another order round otherwise"
