"""The config of a small real run on the demo's base, which tests and benchmarks vary."""

from pathlib import Path

from core.config import (
    DataConfig,
    DeviceConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    TuneConfig,
    ValidationConfig,
)
from core.demo.prepare import demo_config


def small_config(folder: Path) -> RunConfig:
    """Twenty-four steps of four signs, with dropout so that randomness counts."""
    return RunConfig(
        name="small",
        model=ModelConfig(path=demo_config().model.path, dtype="fp32"),
        data=DataConfig(
            train=str(folder / "signs" / "train.jsonl"),
            validation=str(folder / "signs" / "validation.jsonl"),
        ),
        device=DeviceConfig(profile="cpu", capacity_gib=0.2),
        tune=TuneConfig(max_pixels=48 * 784),
        lora=LoraConfig(rank=4, dropout=0.1),
        train=TrainConfig(
            epochs=2,
            batch=4,
            micro_batch_tokens=200,
            checkpointing=2,
            learning_rate=1e-3,
            seed=11,
            loader_workers=1,
        ),
        validation=ValidationConfig(
            share=0.2, slice_rows=4, selection_rows=4, report_rows=8, max_new_tokens=8
        ),
    )
