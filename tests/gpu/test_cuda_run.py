"""The whole way on a CUDA card: the demo's base in bf16 under a small memory cap."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA card")


def test_a_run_tunes_trains_and_stays_inside_its_limit(tmp_path: Path) -> None:
    write_dataset(tmp_path / "signs", train=96, validation=32, seed=5)
    config = RunConfig(
        name="gpu",
        model=ModelConfig(path=demo_config().model.path),
        data=DataConfig(
            train=str(tmp_path / "signs" / "train.jsonl"),
            validation=str(tmp_path / "signs" / "validation.jsonl"),
        ),
        device=DeviceConfig(profile="auto", capacity_gib=2.0),
        tune=TuneConfig(max_pixels=140 * 784),
        train=TrainConfig(epochs=2, batch=8, micro_batch_tokens=1024, learning_rate=2e-3),
        validation=ValidationConfig(selection_rows=8, report_rows=16, max_new_tokens=16),
    )
    file = tmp_path / "run.toml"
    file.write_text(toml_file.encode(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", "train", "-c", str(file), "--headless"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = (tmp_path / "runs").iterdir()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["kind"] == "step"]
    assert len(steps) == 24
    assert all(step["peak_bytes"] <= step["limit_bytes"] <= 2 * 2**30 for step in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
