"""The training step against transformers' Trainer and TRL's SFTTrainer, on the CPU.

    python benchmarks/train_step.py --out benchmarks/results/train_step.json

A Qwen2-VL of a quarter of the 2B's width and depth, with Qwen's whole vocabulary, random weights,
fp32. All train the same LoRA on the same samples in the same order: eight an optimizer step.
Rounds are interleaved; a figure is a median. TRL is used where it can be imported.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from peers import PEERS, RANK, PreparedRows
from transformers import AutoModelForImageTextToText, Qwen2VLConfig

from core.config import LoraConfig, ModelConfig, TrainConfig
from core.data.samples import Sample
from core.demo.signboards import PROMPT, draw_name, target_text
from core.hardware.device import CpuDevice
from core.model.families import QWEN2_VL
from core.model.load import make_ready
from core.model.processing import load_processing
from core.model.vision import Tower
from core.train.loading.micro_batch import MicroBatch
from core.train.self_tests import FastPaths
from core.train.setup import Precision, Trainable, assemble
from core.train.step import run_step
from core.tune.worst_case import noise_photo

BASE = files("core.demo") / "base"
BATCH = 8
VOCABULARY = 151_936
MAX_PIXELS = 128 * 784
ROOM = 2**40


def small_config(token_ids: dict[str, int]) -> Qwen2VLConfig:
    """A quarter of Qwen2-VL-2B's width and depth; its vocabulary and share of tower work."""
    return Qwen2VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 384,
            "intermediate_size": 2240,
            "num_hidden_layers": 7,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32_768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [8, 12, 12],
            },
            "tie_word_embeddings": True,
        },
        vision_config={"depth": 8, "embed_dim": 320, "hidden_size": 384, "num_heads": 4},
        tie_word_embeddings=True,
        **token_ids,
    )


def photo_sizes(count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Half whole phone photos, larger than the budget, and half cut or scaled down by someone."""
    sizes = []
    for index in range(count):
        long = 2016 if index % 2 else int(np.exp(rng.uniform(np.log(100), np.log(400))))
        short = int(long * rng.choice([0.5625, 0.75, 0.75, 1.0]))
        sizes.append((long, short) if rng.random() < 0.5 else (short, long))
    return sizes


def make_samples(processing: Any, count: int) -> list[Sample]:
    """Noise of those sizes with real names under it."""
    rng = np.random.default_rng(4)
    encoder = processing.encoder(MAX_PIXELS)
    return [
        encoder.encode(noise_photo(*size), PROMPT, target_text(draw_name("train", rng)))
        for size in photo_sizes(count, rng)
    ]


class Ours:
    """Our step on the samples in order, packed to a budget of tokens."""

    def __init__(self, model: Any, processing: Any, samples: list[Sample], budget: int) -> None:
        self.device = CpuDevice(ROOM, ROOM)
        self._pad = processing.pad_token_id
        self._tower = Tower.of(QWEN2_VL, model.config)
        self._samples = samples
        self._budget = budget
        self._at = 0
        self.trainable: Trainable = assemble(
            make_ready(model, QWEN2_VL),
            Precision("fp32", "fp32"),
            QWEN2_VL,
            processing.pixels,
            LoraConfig(rank=RANK, alpha=2.0 * RANK),
            TrainConfig(checkpointing="none"),
            self.device,
            FastPaths(),
        )
        self.trainable.model.train()

    def use_cache(self) -> None:
        """Takes features from memory from here on, as the loader does from the cache on disk."""
        forward = self.trainable.step_forward
        with_features = []
        for sample in self._samples:
            batch = MicroBatch.of([sample], self._pad, self._tower).batch
            values = self.device.to_host(forward.image_features(batch))()
            nothing = np.zeros((0, 0), np.uint8)
            with_features.append(replace(sample, features=values, patches=nothing))
        self._samples = with_features

    def step(self) -> tuple[float, float]:
        """Seconds and loss of one optimizer step, collating included."""
        from core.data.pack import pack

        started = time.perf_counter()
        count = len(self._samples)
        chosen = [self._samples[(self._at + place) % count] for place in range(BATCH)]
        self._at += BATCH
        groups = pack([len(sample) for sample in chosen], self._budget)
        micro_batches = [
            MicroBatch.of([chosen[place] for place in group], self._pad, self._tower)
            for group in groups
        ]
        outcome = run_step(
            self.trainable, micro_batches, seed=0, learning_rate=1e-4, max_grad_norm=1.0
        )
        return time.perf_counter() - started, outcome.loss.item()


def peak_of(model: Any, work: Callable[[], None]) -> int:
    """Most live bytes of ``work`` above those of the weights."""
    gc.collect()
    device = CpuDevice(ROOM, ROOM)
    with device.session():
        device.count([*model.parameters(), *model.buffers()])
        still = device.used_bytes()
        work()
    return device.peak_bytes() - still


def main() -> int:
    """Prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--budgets", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    processing = load_processing(ModelConfig(path=str(BASE)), QWEN2_VL)
    tokens = processing.text.tokenizer.convert_tokens_to_ids
    config = small_config(
        {
            "image_token_id": processing.image_token_id,
            "video_token_id": tokens("<|video_pad|>"),
            "vision_start_token_id": tokens("<|vision_start|>"),
            "vision_end_token_id": tokens("<|vision_end|>"),
        }
    )
    samples = make_samples(processing, options.samples)
    print(f"image tokens: {sorted(sample.image_tokens for sample in samples)}", file=sys.stderr)

    def new_model() -> Any:
        torch.manual_seed(0)
        return AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")

    contenders = _contenders(new_model, processing, samples, options)
    results = _measure(contenders, options.rounds)
    report = {
        "machine": machine("torch", "transformers", "peft", "accelerate"),
        "peers": list(PEERS),
        "batch": BATCH,
        "vocabulary": VOCABULARY,
        "rounds": options.rounds,
        "image_tokens": sorted(sample.image_tokens for sample in samples),
        "results": results,
        "ratios": _ratios(results),
    }
    _print(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


Contender = tuple[Callable[[], tuple[list[float], float]], Callable[[], int]]


def _contenders(
    new_model: Callable[[], Any], processing: Any, samples: list[Sample], options: Any
) -> dict[str, Contender]:
    """Name to (a round: seconds of its steps and first loss; peak activation bytes)."""
    found: dict[str, Contender] = {}
    for name, train in PEERS.items():
        for micro_batch in options.micro_batches:

            def run(train: Any = train, micro: int = micro_batch, steps: int = 2) -> Any:
                rows = PreparedRows(samples, processing.pixels, BATCH * steps)
                targets = QWEN2_VL.lora_pattern("language")
                return train(
                    new_model(), targets, rows, batch=BATCH, micro_batch=micro, steps=steps
                )

            def timed(run: Any = run) -> tuple[list[float], float]:
                clock = run()
                return clock.seconds(), clock.losses[0]

            def peak(train: Any = train, micro: int = micro_batch) -> int:
                model = new_model()
                rows = PreparedRows(samples, processing.pixels, BATCH * 2)
                targets = QWEN2_VL.lora_pattern("language")
                return peak_of(
                    model,
                    lambda: train(model, targets, rows, batch=BATCH, micro_batch=micro, steps=2),
                )

            found[f"{name}, {micro_batch} at a time"] = timed, peak
    for budget in options.budgets:
        for cached in (False, True):

            def make(budget: int = budget, cached: bool = cached) -> Ours:
                ours = Ours(new_model(), processing, samples, budget)
                if cached:
                    ours.use_cache()
                return ours

            def timed_ours(make: Any = make) -> tuple[list[float], float]:
                ours = make()
                steps = [ours.step() for _ in range(2)]
                return [seconds for seconds, _loss in steps[1:]], steps[0][1]

            def peak_ours(make: Any = make) -> int:
                ours = make()
                return peak_of(ours.trainable.model, lambda: _twice(ours.step))

            label = f"kocr-tui, {budget} tokens" + (", cached" if cached else "")
            found[label] = timed_ours, peak_ours
    return found


def _twice(step: Callable[[], Any]) -> None:
    step()
    step()


def _measure(contenders: dict[str, Contender], rounds: int) -> dict[str, dict[str, float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, float] = {}
    for number in range(rounds):
        for name, (timed, _peak) in contenders.items():
            steps, losses[name] = timed()
            seconds[name] += steps
            gc.collect()
            print(f"round {number + 1}: {name}: {steps}", file=sys.stderr)
    return {
        name: {
            "samples_per_s": round(BATCH / statistics.median(seconds[name]), 3),
            "activation_mib": round(peak() / 2**20, 1),
            "first_loss": round(losses[name], 4),
        }
        for name, (_timed, peak) in contenders.items()
    }


def _ratios(results: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Ours at its fastest, with and without the cache, against each peer at its fastest.

    And both with about four samples in memory: four padded ones, and 512 packed tokens.
    """
    ratios = {}
    for peer in PEERS:
        mine, theirs = results.get("kocr-tui, 512 tokens"), results.get(f"{peer}, 4 at a time")
        if mine and theirs:
            ratios[f"four at a time against {peer}"] = _ratio(mine, theirs)
    ours = {name: figures for name, figures in results.items() if name.startswith("kocr-tui")}
    for peer in PEERS:
        theirs = _fastest({n: f for n, f in results.items() if n.startswith(peer)})
        for kind, chosen in (
            ("computed", {n: f for n, f in ours.items() if not n.endswith("cached")}),
            ("cached", {n: f for n, f in ours.items() if n.endswith("cached")}),
        ):
            ratios[f"{kind} against {peer}"] = _ratio(_fastest(chosen), theirs)
    return ratios


def _ratio(mine: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
    return {
        "samples_per_s": round(mine["samples_per_s"] / theirs["samples_per_s"], 2),
        "activation_bytes": round(mine["activation_mib"] / theirs["activation_mib"], 3),
    }


def _fastest(results: dict[str, dict[str, float]]) -> dict[str, float]:
    return max(results.values(), key=lambda figures: figures["samples_per_s"])


def _print(report: dict[str, Any]) -> None:
    for name, figures in report["results"].items():
        print(
            f"{name:44} {figures['samples_per_s']:7.2f} samples/s "
            f"{figures['activation_mib']:8.1f} MiB  loss {figures['first_loss']}"
        )
    for name, ratio in report["ratios"].items():
        print(f"{name:44} {ratio['samples_per_s']:6.2f}x {ratio['activation_bytes']:7.3f} memory")


if __name__ == "__main__":
    sys.exit(main())
