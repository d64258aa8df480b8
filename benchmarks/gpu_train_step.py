"""The training step of Qwen2-VL-2B on a card under a 24 GB cap, alone and against other trainers.

    python benchmarks/gpu_train_step.py --out FOLDER

Random weights from the published architecture: memory and speed are the same. Every row is a
process of its own and ends by its own time limit; one that runs out of memory says so. Where there
is no card it says so and does nothing. TRL and Unsloth are used where they can be imported.
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
from pathlib import Path
from typing import Any

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
from machine import machine

IMAGE_TOKENS = (256, 1024, 4096, 16_384)
CAP_GIB = 23.54 - 0.3
CHECKPOINTING = ("none", 4, "all")
LEAST_TOKENS = 4096
ROW_SECONDS = 100
ALL_SECONDS = 450
STEPS = 3
PRESET = "Qwen2-VL-2B"


def bf16_ceiling() -> float:
    """Operations a second of a large bf16 product, the best of five."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    best = 0.0
    for _ in range(5):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(5):
            a @ a
        torch.cuda.synchronize()
        best = max(best, 5 * 2 * 8192**3 / (time.perf_counter() - started))
    return best


def write_checkpoint(folder: Path) -> None:
    """The architecture with random weights, and the demo's tokenizer and image processor."""
    from core.demo.base_model import build_tokenizer, save_processor
    from core.model.presets import preset_config

    tokenizer = build_tokenizer()
    config = preset_config(PRESET)
    config.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    config.video_token_id = tokenizer.convert_tokens_to_ids("<|video_pad|>")
    config.vision_start_token_id = tokenizer.convert_tokens_to_ids("<|vision_start|>")
    config.vision_end_token_id = tokenizer.convert_tokens_to_ids("<|vision_end|>")
    from transformers import AutoModelForImageTextToText

    with torch.device("cuda"):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    save_processor(folder, tokenizer)


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
    for checkpointing in CHECKPOINTING:
        try:
            return _ours(folder, wanted, checkpointing)
        except torch.OutOfMemoryError:
            failed = True
        if failed:
            torch.cuda.empty_cache()
    return {"out_of_memory": True}


def _ours(folder: Path, wanted: dict[str, Any], checkpointing: Any) -> dict[str, Any]:
    from dataclasses import replace

    import numpy as np

    from core.config import DeviceConfig, LoraConfig, ModelConfig, TrainConfig
    from core.hardware.device import open_device
    from core.model.flops import StepFlops, Work
    from core.model.load import open_config
    from core.model.processing import load_processing
    from core.model.vision import Tower
    from core.profile import load_profile
    from core.train.loader import MicroBatch
    from core.train.self_tests import try_fast_paths
    from core.train.setup import Precision, build
    from core.train.step import run_step

    model = ModelConfig(path=str(folder))
    config, family = open_config(model)
    processing = load_processing(model, family)
    device = open_device(DeviceConfig(capacity_gib=24.0), load_profile("auto"))
    _cap()
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
        micro_batches = [
            MicroBatch.of(samples[i : i + group], processing.pad_token_id, tower).pin_memory()
            for i in range(0, batch, group)
        ]
        work = sum((Work.of(micro.batch) for micro in micro_batches), Work())
        torch.cuda.synchronize()
        started = time.perf_counter()
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
    """Another trainer at its best of two settings: two samples at a time, or one recomputing."""
    from peers import PEERS, PreparedRows
    from transformers import AutoModelForImageTextToText

    from core.config import ModelConfig
    from core.model.families import QWEN2_VL
    from core.model.processing import load_processing

    _cap()
    processing = load_processing(ModelConfig(path=str(folder)), QWEN2_VL)
    samples = samples_of(processing, wanted["image_tokens"], 4)
    train = next(train for name, train in PEERS.items() if name.startswith(wanted["who"]))
    for micro_batch, recompute in ((2, False), (1, False), (1, True)):
        try:
            torch.cuda.reset_peak_memory_stats()
            base = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
            rows = PreparedRows(samples, processing.pixels, 4 * (1 + STEPS))
            clock = train(
                base,
                QWEN2_VL.lora_pattern("language"),
                rows,
                batch=4,
                micro_batch=micro_batch,
                steps=1 + STEPS,
                settings={"gradient_checkpointing": recompute},
            )
            return {
                "micro_batch": micro_batch,
                "checkpointing": "all" if recompute else "none",
                "loss": clock.losses[0],
                "samples_per_s": 4 / statistics.median(clock.seconds()),
                **_memory(),
            }
        except torch.OutOfMemoryError:
            base = None
        torch.cuda.empty_cache()
    return {"out_of_memory": True}


def _cap() -> None:
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, CAP_GIB * 2**30 / total))


def _memory() -> dict[str, float]:
    from core.hardware.nvml import Monitor, auto_card

    card = auto_card()
    mine = None
    if card is not None and card.uuid is not None:
        with Monitor() as monitor:
            found = [p for p in monitor.processes(card.uuid) if p.pid == os.getpid()]
        mine = found[0].used_bytes if found else card.used_bytes
    return {
        "allocated_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
        "nvml_gib": (mine or 0) / 2**30,
    }


def rows_wanted() -> list[dict[str, Any]]:
    """Ours first, so that a time limit costs the comparison and not the claim."""
    rows: list[dict[str, Any]] = [
        {"who": "kocr-tui", "image_tokens": tokens, "weights": weights, "cached": cached}
        for tokens in IMAGE_TOKENS
        for weights, cached in (("bf16", False), ("bf16", True), ("nf4", False))
    ]
    peers = ["Trainer"] + (["TRL"] if importlib.util.find_spec("trl") else [])
    rows += [
        {"who": who, "image_tokens": tokens, "weights": "bf16", "cached": False}
        for tokens in (1024, 256, 4096, 16_384)
        for who in peers
    ]
    return rows


def run_row(folder: Path, wanted: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One row in a process of its own."""
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
        wanted = json.loads(options.row)
        work = ours if wanted["who"] == "kocr-tui" else peer
        print(json.dumps({"row": work(options.model, wanted)}))
        return 0
    deadline = time.monotonic() + ALL_SECONDS
    ceiling = bf16_ceiling()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder))
        torch.cuda.empty_cache()
        for wanted in rows_wanted():
            left = deadline - time.monotonic()
            measured = (
                run_row(Path(folder), wanted, min(ROW_SECONDS, left))
                if left > 10
                else {"failed": "the time for all rows was over"}
            )
            if "flops_per_s" in measured:
                measured["of_ceiling"] = measured["flops_per_s"] / ceiling
            results.append(wanted | measured)
            print(json.dumps(results[-1]), file=sys.stderr)
    report = {
        "card": torch.cuda.get_device_name(),
        "cap_gib": CAP_GIB,
        "bf16_ceiling_tflops": ceiling / 1e12,
        "machine": machine("torch", "transformers", "peft", "accelerate", "bitsandbytes"),
        "unsloth": "runs here" if importlib.util.find_spec("unsloth") else "not installed",
        "results": results,
    }
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
