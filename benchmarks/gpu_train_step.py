"""The training step of Qwen2-VL-2B on a card under a 24 GB cap, alone and against other trainers.

    python benchmarks/gpu_train_step.py --out FOLDER

Random weights from the published architecture: memory and speed are the same. Every row is a
process of its own and ends by its own time limit; one that runs out of memory says so. Where there
is no card it says so and does nothing. TRL and Unsloth are used where they can be imported; the
row of Unsloth has not been run by us yet.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
# All that is read is a folder here; a library that asks the hub first would wait for its time-outs.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from gpu_card import nvml_bytes, prepare
from machine import machine

IMAGE_TOKENS = (256, 1024, 4096, 16_384)
CAP_GIB = 23.54 - 0.3
CHECKPOINTING = ("none", 4, "all")
LEAST_TOKENS = 4096
ROW_SECONDS = 100
ALL_SECONDS = 450
STEPS = 3
# Micro-batch, and whether activations are recomputed: what another trainer is tried with.
PEER_SETTINGS = ((2, False), (1, False), (1, True))


def samples_of(processing: Any, image_tokens: int, count: int) -> list[Any]:
    """Square photos of noise with so many image tokens, and names under them."""
    import numpy as np

    from core.demo.signboards import PROMPT, draw_name, target_text
    from core.tune.worst_case import noise_photo

    rng = np.random.default_rng(0)
    edge = int(image_tokens**0.5) * processing.geometry.factor
    encoder = processing.encoder(image_tokens * processing.geometry.pixels_a_token)
    photo = noise_photo(edge, edge)
    return [
        encoder.encode(photo, PROMPT, target_text(draw_name("train", rng))) for _ in range(count)
    ]


def ours(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Our step; the checkpointing that recomputes least and fits."""
    from core.hardware.out_of_memory import OutOfMemory, attempt

    for checkpointing in CHECKPOINTING:
        found = attempt(partial(_ours, folder, wanted, checkpointing))
        if not isinstance(found, OutOfMemory):
            return found
        torch.cuda.empty_cache()
    return {"out_of_memory": True}


def _ours(folder: Path, wanted: dict[str, Any], checkpointing: Any) -> dict[str, Any]:
    from dataclasses import replace

    import numpy as np

    from core.config import LoraConfig, ModelConfig, TrainConfig
    from core.hardware.device import CudaDevice
    from core.model.flops import StepFlops, Work
    from core.model.load import open_config
    from core.model.processing import load_processing
    from core.model.vision import Tower
    from core.train.loading.micro_batch import MicroBatch
    from core.train.self_tests import try_fast_paths
    from core.train.setup import Precision, build
    from core.train.step import run_step

    model = ModelConfig(path=str(folder))
    config, family = open_config(model)
    processing = load_processing(model, family)
    device = CudaDevice(int(CAP_GIB * 2**30), int(CAP_GIB * 2**30))
    fast = try_fast_paths(device, nf4=wanted["weights"] == "nf4")
    trainable = build(
        model,
        Precision(wanted["weights"], "bf16"),
        family,
        processing.pixels,
        LoraConfig(),
        TrainConfig(checkpointing=checkpointing),
        device,
        fast,
    )
    trainable.model.train()
    tower = Tower.of(family, config)
    group = max(1, LEAST_TOKENS // wanted["image_tokens"])
    batch = max(2, group)
    samples = samples_of(processing, wanted["image_tokens"], batch)
    if wanted["cached"]:
        nothing = np.zeros((0, 0), np.uint8)
        for index, sample in enumerate(samples):
            one = MicroBatch.of([sample], processing.pad_token_id, tower).batch
            features = trainable.forward.image_features(one.to(device.torch_device))
            values = device.to_host(features)()
            samples[index] = replace(sample, features=values.copy(), patches=nothing)
    flops = StepFlops.of(trainable.base, trains_vision=False)
    seconds, work = [], Work()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(1 + STEPS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        micro_batches = [
            MicroBatch.of(samples[i : i + group], processing.pad_token_id, tower).pin_memory()
            for i in range(0, batch, group)
        ]
        work = sum((Work.of(micro.batch) for micro in micro_batches), Work())
        outcome = run_step(trainable, micro_batches, seed=0, learning_rate=1e-4, max_grad_norm=1.0)
        loss = outcome.loss.item()
        seconds.append(time.perf_counter() - started)
    step = statistics.median(seconds[1:])
    return {
        "checkpointing": str(checkpointing),
        "fallbacks": fast.fallbacks,
        "loss": loss,
        "samples_per_s": batch / step,
        "flops_per_s": flops(work) / step,
        **_memory(),
    }


def peer(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Another trainer at the first of PEER_SETTINGS that fits."""
    if wanted["who"] == "Unsloth":
        # It changes transformers and TRL as it's imported, so it comes before them.
        import unsloth  # noqa: F401
    from core.hardware.out_of_memory import OutOfMemory, attempt

    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, CAP_GIB * 2**30 / total))
    for micro_batch, recompute in PEER_SETTINGS:
        found = attempt(partial(_peer, folder, wanted, micro_batch, recompute))
        if not isinstance(found, OutOfMemory):
            return found
        torch.cuda.empty_cache()
    return {"out_of_memory": True}


def _peer(
    folder: Path, wanted: dict[str, Any], micro_batch: int, recompute: bool
) -> dict[str, Any]:
    from peers import PEERS, PreparedRows, train_with_unsloth
    from transformers import AutoModelForImageTextToText

    from core.config import ModelConfig
    from core.model.families import QWEN2_VL
    from core.model.processing import load_processing

    processing = load_processing(ModelConfig(path=str(folder)), QWEN2_VL)
    samples = samples_of(processing, wanted["image_tokens"], 4)
    rows = PreparedRows(samples, processing.pixels, 4 * (1 + STEPS))
    torch.cuda.reset_peak_memory_stats()
    settings: dict[str, Any] = {"gradient_checkpointing": recompute}
    common: dict[str, Any] = {"batch": 4, "micro_batch": micro_batch, "steps": 1 + STEPS}
    if wanted["who"] == "Unsloth":
        clock = train_with_unsloth(folder, rows, **common, settings=settings)
    else:
        train = next(train for name, train in PEERS.items() if name.startswith(wanted["who"]))
        if recompute:
            # Only this kind finds gradients behind a frozen embedding.
            settings["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
        base = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
        clock = train(base, QWEN2_VL.lora_pattern("language"), rows, **common, settings=settings)
    return {
        "micro_batch": micro_batch,
        "checkpointing": "all" if recompute else "none",
        "loss": clock.losses[0],
        "samples_per_s": 4 / statistics.median(clock.seconds()),
        **_memory(),
    }


def _memory() -> dict[str, float]:
    return {
        "allocated_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
        "nvml_gib": nvml_bytes() / 2**30,
    }


def rows_wanted() -> list[dict[str, Any]]:
    """Ours first, so that a time limit costs the comparison and not the claim."""
    rows: list[dict[str, Any]] = [
        {"who": "kocr-tui", "image_tokens": tokens, "weights": weights, "cached": cached}
        for tokens in IMAGE_TOKENS
        for weights, cached in (("bf16", False), ("bf16", True), ("nf4", False))
    ]
    peers = ["Trainer"]
    peers += ["TRL"] if importlib.util.find_spec("trl") else []
    peers += ["Unsloth"] if importlib.util.find_spec("unsloth") else []
    rows += [
        {"who": who, "image_tokens": tokens, "weights": "bf16", "cached": False}
        for tokens in (1024, 256, 4096, 16_384)
        for who in peers
    ]
    return rows


def run_row(folder: Path, wanted: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One row in a process of its own."""
    if seconds < 10:
        return {"failed": "the time for all rows was over"}
    command = [sys.executable, __file__, "--row", json.dumps(wanted), "--model", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"took over {seconds:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"row"')]
    if not lines:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {"failed": last[:300]}
    row: dict[str, Any] = json.loads(lines[-1])["row"]
    return row


def work_on(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """What one process is for."""
    if wanted["who"] == "card":
        return prepare(folder)
    return ours(folder, wanted) if wanted["who"] == "kocr-tui" else peer(folder, wanted)


def measure_all() -> dict[str, Any]:
    """The report; nothing of this process is on the card."""
    deadline = time.monotonic() + ALL_SECONDS
    results = []
    with tempfile.TemporaryDirectory() as folder:
        found = run_row(Path(folder), {"who": "card"}, ROW_SECONDS)
        if "failed" in found:
            sys.exit(f"the checkpoint can't be made: {found['failed']}")
        for wanted in rows_wanted():
            left = deadline - time.monotonic()
            measured = run_row(Path(folder), wanted, min(ROW_SECONDS, left))
            if "flops_per_s" in measured:
                measured["of_ceiling"] = measured["flops_per_s"] / found["ceiling"]
            results.append(wanted | measured)
            print(json.dumps(results[-1]), file=sys.stderr)
    others = [name for name in ("trl", "unsloth") if importlib.util.find_spec(name)]
    return {
        "card": found["card"],
        "cap_gib": CAP_GIB,
        "bf16_ceiling_tflops": found["ceiling"] / 1e12,
        "machine": machine("torch", "transformers", "peft", "accelerate", "bitsandbytes", *others),
        "results": results,
    }


def main() -> int:
    """Runs all rows inside the time limit and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no CUDA card here: nothing is measured")
        return 0
    if options.row:
        print(json.dumps({"row": work_on(options.model, json.loads(options.row))}))
        return 0
    report = measure_all()
    options.out.mkdir(parents=True, exist_ok=True)
    name = report["card"].lower().replace(" ", "-")
    (options.out / f"gpu_train_step_{name}.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8"
    )
    _print(report)
    return 0


def _print(report: dict[str, Any]) -> None:
    print(f"{report['card']}: bf16 products at {report['bf16_ceiling_tflops']:.0f} TFLOP/s")
    for row in report["results"]:
        what = f"{row['who']:9} {row['image_tokens']:6} {row['weights']} "
        what += "cached  " if row["cached"] else "computed"
        if "samples_per_s" not in row:
            print(what, row.get("failed", "out of memory"))
            continue
        share = f"{row['of_ceiling']:6.1%}" if "of_ceiling" in row else "      "
        print(
            f"{what} {row['samples_per_s']:8.2f} samples/s {share} "
            f"{row['allocated_gib']:6.2f} {row['reserved_gib']:6.2f} {row['nvml_gib']:6.2f} GiB "
            f"checkpointing {row['checkpointing']}"
        )


if __name__ == "__main__":
    sys.exit(main())
