"""The whole way on a CUDA card: the demo's base in bf16 under a small memory cap."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core import toml_file
from core.config import (
    DataConfig,
    DeviceConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    TuneConfig,
    ValidationConfig,
)
from core.demo.prepare import demo_config
from core.demo.signboards import write_dataset
from core.launch import launch
from core.run_dir import RunDir, create_run
from core.run_watch import RunWatch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")
STEPS = 24


def config_of(folder: Path) -> RunConfig:
    write_dataset(folder / "signs", train=96, validation=32, seed=5)
    return RunConfig(
        name="gpu",
        model=ModelConfig(path=demo_config().model.path),
        data=DataConfig(
            train=str(folder / "signs" / "train.jsonl"),
            validation=str(folder / "signs" / "validation.jsonl"),
        ),
        device=DeviceConfig(profile="auto", capacity_gib=2.0),
        tune=TuneConfig(max_pixels=140 * 784),
        train=TrainConfig(epochs=2, batch=8, micro_batch_tokens=1024, learning_rate=2e-3),
        validation=ValidationConfig(selection_rows=8, report_rows=16, max_new_tokens=16),
    )


def kocr(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(folder)},
    )


def train(folder: Path, config: RunConfig) -> RunDir:
    run = create_run(folder / "runs", config)
    done = kocr(folder, "resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    return run


def train_with_a_stop(folder: Path, config: RunConfig, after: int) -> RunDir:
    """Stopped by a signal once ``after`` steps are done, and resumed."""
    run = create_run(folder / "runs", config)
    watch, tick = RunWatch(run), threading.Event()
    pid = launch(run)
    while watch.state.step < after:
        assert watch.worker_pid() is not None, run.log_file.read_text()
        watch.poll()
        tick.wait(0.02)
    os.kill(pid, signal.SIGTERM)
    while watch.worker_pid() is not None:
        tick.wait(0.02)
    watch.poll()
    assert watch.state.state == "stopped"
    assert watch.state.step < STEPS
    done = kocr(folder, "resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    return run


def distance(one: RunDir, other: RunDir) -> float:
    """How far the last adapters are apart, as a share of their size."""
    first, second = (
        load_file(run.checkpoints / f"step-{STEPS:08d}" / "adapter" / "adapter_model.safetensors")
        for run in (one, other)
    )
    apart = sum((first[name] - second[name]).double().square().sum() for name in first)
    size = sum(value.double().square().sum() for value in first.values())
    return float((apart / size).sqrt())


def test_a_run_tunes_trains_and_stays_inside_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(toml_file.encode(config_of(tmp_path)), encoding="utf-8")
    done = kocr(tmp_path, "train", "-c", str(file), "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = (tmp_path / "runs").iterdir()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["kind"] == "step"]
    assert len(steps) == STEPS
    assert all(step["peak_bytes"] <= step["limit_bytes"] <= 2 * 2**30 for step in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_a_resumed_run_is_no_further_from_another_than_two_uninterrupted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums in another order make two runs on a card differ, so their own distance is the measure.

    The tolerance is four times that; where a card repeats itself to the bit, 1e-6.
    """
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    config = config_of(tmp_path)
    first, again = train(tmp_path, config), train(tmp_path, config)
    resumed = train_with_a_stop(tmp_path, config, STEPS // 3)
    assert distance(first, resumed) <= max(4 * distance(first, again), 1e-6)
