"""How long training stands still while a checkpoint is saved, against torch.save to the same disk.

    python benchmarks/saving.py --out benchmarks/results/saving.json

A rank-16 adapter on all linear layers of Qwen2-VL-2B's language model (18.5 million parameters,
fp32) and AdamW's moments: 222 MB. The frozen weights are never touched and take no memory. Ours is
safetensors, SHA-256 of every file, fsync of every file and folder, and the rename; torch.save
writes the same tensors into one file, once without a flush, as trainers do, and once with fsync.
Rounds are interleaved; a figure is a median of seconds.

Expected before it was measured: less than a second, and two to three times torch.save without a
flush, since every byte is written, read again for its hash, and waited for.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from machine import machine
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from core.config import TrainConfig
from core.durable import flush
from core.evaluate.rolling import RollingState
from core.model.lora import save_adapter, trainable_parameters
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import TrainerState
from core.train.optimizer import Named, make_optimizer, save_optimizer
from core.train.validation import ValidationState

HIDDEN, INTERMEDIATE, KEYS, LAYERS, RANK = 1536, 8960, 256, 28, 16
SHAPES = {
    "q_proj": (HIDDEN, HIDDEN),
    "k_proj": (HIDDEN, KEYS),
    "v_proj": (HIDDEN, KEYS),
    "o_proj": (HIDDEN, HIDDEN),
    "gate_proj": (HIDDEN, INTERMEDIATE),
    "up_proj": (HIDDEN, INTERMEDIATE),
    "down_proj": (INTERMEDIATE, HIDDEN),
}


class Layers(nn.Module):
    """The linear layers that the adapter is put on, with weights that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: nn.utils.skip_init(nn.Linear, *shape, bias=False, dtype=torch.bfloat16)
                    for name, shape in SHAPES.items()
                }
            )
            for _ in range(LAYERS)
        )


def make() -> tuple[PeftModel, Named, torch.optim.AdamW]:
    """The adapter and its optimizer after an update."""
    adapted = get_peft_model(Layers(), LoraConfig(r=RANK, target_modules=list(SHAPES)))
    parameters = trainable_parameters(adapted)
    optimizer = make_optimizer(parameters, TrainConfig(), fused=False)
    for _name, value in parameters:
        value.grad = torch.randn_like(value)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return adapted, parameters, optimizer


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    adapted, parameters, optimizer = make()
    taken: dict[str, list[float]] = {"ours": [], "torch.save": [], "torch.save + fsync": []}
    for number in range(rounds + 1):
        os.sync()
        ours = seconds(partial(save, folder / "ours", number, adapted, parameters, optimizer))
        os.sync()
        file = folder / "stock.pt"
        state = {"adapter": dict(parameters), "optimizer": optimizer.state_dict()}
        stock = seconds(partial(torch.save, state, file))
        flushed = stock + seconds(partial(flush, file))
        checkpoint.remove(checkpoint.path_of(folder / "ours", number - 1))
        if number:
            for name, value in zip(taken, (ours, stock, flushed), strict=True):
                taken[name].append(value)
    size = sum(file.stat().st_size for file in (folder / "ours").rglob("*") if file.is_file())
    return {
        "parameters": sum(value.numel() for _name, value in parameters),
        "checkpoint_bytes": size,
        "stock_bytes": file.stat().st_size,
        "seconds": {name: summary(values) for name, values in taken.items()},
        "ratio": {
            name: round(statistics.median(taken["ours"]) / statistics.median(taken[name]), 2)
            for name in ("torch.save", "torch.save + fsync")
        },
    }


def save(
    folder: Path,
    step: int,
    adapted: PeftModel,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
) -> None:
    """A whole checkpoint, as training saves it."""
    rolling = RollingState(position=0, scores=())
    validation = ValidationState(rolling=rolling, trained_s=0.0, slices_s=0.0, selections_s=0.0)
    state = TrainerState(step=step, validation=validation, best=None)

    def write(into: Path) -> None:
        save_adapter(adapted, into / checkpoint.ADAPTER_FOLDER)
        save_optimizer(optimizer, parameters, into / checkpoint.OPTIMIZER_FILE)
        (into / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state))

    checkpoint.save(folder, step, write)


def summary(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; else a temporary one")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = measure(Path(folder), given.rounds)
    stalled = found["seconds"]["ours"]["median"]
    print(f"{found['checkpoint_bytes'] / 1e6:.0f} MB: training stands still for {stalled:.2f} s")
    for name, ratio in found["ratio"].items():
        print(f"{ratio:.2f} times {name} ({found['seconds'][name]['median']:.2f} s)")
    if given.out is not None:
        packages = machine("torch", "peft", "safetensors")
        text = json.dumps({"machine": packages, "rounds": given.rounds, **found}, indent=2)
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
