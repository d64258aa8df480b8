"""Makes the demo's base model from nothing: ``python -m core.demo.train_base --minutes 60``.

First the vision tower learns to read every glyph where it stands, then the language model joins
and learns to write the whole sign down on one line.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from core.demo.base_model import (
    HIDDEN,
    build_config,
    build_model,
    build_tokenizer,
    compose_embeddings,
    localize_attention,
    start_with_cosines,
)
from core.demo.dense_heads import DenseHeads
from core.demo.forward import Transcriber, encode_images, to_patches
from core.demo.lexicon import readable_characters
from core.demo.practice import Level, PracticeBatch, practice_batch, reading_test
from core.demo.signboards import PROMPT
from core.demo.snapshots import Average, Progress, export, load_state, save_state

_BATCH = 32  # images
_SMALL_BATCH = 16  # images; many small steps teach most as long as nothing can be read
_SMALL_SHARE = 0.5  # of the training time
_OTHER_PROMPTS = ("간판에 적힌 글자를 읽어주세요.", "이미지의 텍스트를 읽어주세요.")
PROMPTS = (PROMPT, PROMPT, PROMPT, *_OTHER_PROMPTS)
_TOWER_SHARE = 0.16  # of the training time, before the language model joins
# Up to which share of the time which mix of levels is practised, in the order of ``_LEVELS``.
_LEVELS: tuple[Level, ...] = ("primer", "page", "strip", "plain", "photo")
_CURRICULUM = (
    (0.06, (1.0, 0.0, 0.0, 0.0, 0.0)),
    (0.10, (0.5, 0.4, 0.0, 0.1, 0.0)),
    (0.20, (0.2, 0.4, 0.0, 0.2, 0.2)),
    (float("inf"), (0.0, 0.1, 0.1, 0.25, 0.55)),
)
_WARMUP = 100  # steps
_CHUNK = 48  # batches drawn at a time
_SNAPSHOT_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training run depends on."""

    out: Path
    scratch: Path
    minutes: float
    seed: int
    rate: float


class Trainer:
    """The model, its throw-away heads and everything that moves them."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.tokenizer = build_tokenizer()
        self.model = build_model(build_config(self.tokenizer))
        compose_embeddings(self.model, self.tokenizer)
        localize_attention(self.model)
        start_with_cosines(self.model)
        ids = [self.tokenizer(char).input_ids[0] for char in readable_characters()]
        self.heads = DenseHeads(HIDDEN, torch.tensor(ids))
        self.transcriber = Transcriber(self.model, self.tokenizer)
        self.modules = {"model": self.model, "heads": self.heads}
        self.parameters = [p for m in self.modules.values() for p in m.parameters()]
        self.optimizer = AdamW(
            self.parameters, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.average = Average(self.model)
        self.progress = load_state(recipe.scratch, self.modules, self.optimizer, self.average)

    @property
    def share(self) -> float:
        """The share of the training time that has gone by, 0 to 1."""
        return self.progress.seconds / (60 * self.recipe.minutes)

    def step(self, batch: PracticeBatch) -> dict[str, float]:
        """Learns one batch and returns its figures."""
        self._set_rate()
        with torch.autocast("cpu", torch.bfloat16):
            patches, grid = to_patches(batch.images)
            cells = encode_images(self.model.model.visual, patches, grid)
            embeddings = self.model.model.language_model.embed_tokens.weight
            dense = self.heads(cells, embeddings, batch)
            loss: Tensor = dense.loss
            figures: dict[str, float] = dense.parts
            if self.share >= _TOWER_SHARE:
                prompt = PROMPTS[self.progress.step % len(PROMPTS)]
                text, right = self.transcriber.loss(cells, grid, prompt, batch.transcripts)
                loss = loss + 1.5 * text
                figures |= {"text": float(text.detach()), "next_token": right}
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters, 2.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model, self.progress.step)
        return figures

    def _set_rate(self) -> None:
        warmup = min(1.0, (self.progress.step + 1) / _WARMUP)
        decay = min(1.0, max(0.02, 1.5 * (1 - self.share)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * warmup * decay

    def snapshot(self) -> None:
        """Saves the state, tests the averaged weights and exports them."""
        save_state(self.recipe.scratch, self.modules, self.optimizer, self.average, self.progress)
        self.average.swap(self.model)
        if self.share >= _TOWER_SHARE:
            figures = test_reading(self.transcriber, 48)
            _report(self.progress, figures)
        export(self.recipe.out, self.model, self.tokenizer)
        self.average.swap(self.model)


def test_reading(transcriber: Transcriber, count: int) -> dict[str, float]:
    """Shares of names and characters read right on plain and photo signs never trained on."""
    figures = {}
    levels: tuple[Level, ...] = ("plain", "photo")
    for level in levels:
        batch = reading_test(level, count)
        patches, grid = to_patches(batch.images)
        answers = transcriber.read(patches, grid, PROMPT, 24)
        pairs = list(zip(answers, batch.transcripts, strict=True))
        errors = sum(_distance(answer, truth) for answer, truth in pairs)
        characters = sum(len(truth) for truth in batch.transcripts)
        figures[f"{level}_signs"] = sum(a == t for a, t in pairs) / count
        figures[f"{level}_characters"] = max(0.0, 1 - errors / characters)
    return figures


def _distance(left: str, right: str) -> int:
    """The edit distance between two short strings."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            last, row[j] = row[j], min(last + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def _level(share: float, rng: np.random.Generator) -> Level:
    """Easy pages first, then crowded ones, then mostly signs."""
    weights = next(weights for until, weights in _CURRICULUM if share < until)
    return _LEVELS[int(rng.choice(len(_LEVELS), p=weights))]


def _batches(trainer: Trainer, pool: ProcessPoolExecutor) -> Iterator[PracticeBatch]:
    """Practice batches in the order of their step.

    They are drawn a chunk at a time while no batch is being learned: a renderer beside the
    matrix products would hold up all threads of a small machine.
    """
    while True:
        first = trainer.progress.step
        seeds = [(trainer.recipe.seed, step) for step in range(first, first + _CHUNK)]
        levels = [_level(trainer.share, np.random.default_rng(seed)) for seed in seeds]
        count = _SMALL_BATCH if trainer.share < _SMALL_SHARE else _BATCH
        yield from list(pool.map(practice_batch, levels, repeat(count), seeds))


def _report(progress: Progress, figures: dict[str, Any]) -> None:
    shown = {name: round(value, 4) for name, value in figures.items()}
    minutes = round(progress.seconds / 60, 2)
    print(json.dumps({"step": progress.step, "minutes": minutes, **shown}), flush=True)


def train(recipe: Recipe) -> None:
    """Trains until the minutes are up and leaves the base in ``recipe.out``."""
    torch.set_num_threads(os.cpu_count() or 1)
    trainer = Trainer(recipe)
    last_snapshot = trainer.progress.seconds
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        batches = _batches(trainer, pool)
        while trainer.share < 1:
            started = time.monotonic()
            batch = next(batches)
            figures = trainer.step(batch)
            trainer.progress.step += 1
            trainer.progress.images += len(batch.images)
            trainer.progress.seconds += time.monotonic() - started
            if trainer.progress.step % 25 == 0:
                _report(trainer.progress, figures | {"side": batch.images.shape[2]})
            if trainer.progress.seconds - last_snapshot > _SNAPSHOT_SECONDS:
                trainer.snapshot()
                last_snapshot = trainer.progress.seconds
    trainer.snapshot()


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("core/demo/base"))
    parser.add_argument("--scratch", type=Path, default=Path("build/demo-base"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    train(Recipe(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
