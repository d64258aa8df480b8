"""Damaged photos and rows through the survey and the loader: nothing raised, nothing lost.

``python benchmarks/fuzz_data.py [--cases 20000] [--seed 0] [--out FILE]``: each case is a real
photo and a real row with bytes flipped, put in, taken out or cut off, the same for the same seed.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from machine import machine
from PIL import Image, ImageCms

from core.config import ModelConfig
from core.data.parallel import each_in_processes
from core.data.survey import open_rows
from core.demo.scenes import photo_sign
from core.demo.signboards import PROMPT, draw_name, sign_lines, target_text
from core.model.families import QWEN2_VL
from core.model.load import open_config
from core.model.processing import Processing, load_processing
from core.model.vision import Tower
from core.train.loading.loader import load_steps
from core.train.loading.step_plan import StepPlan

BASE = Path(__file__).parents[1] / "core" / "demo" / "base"
BATCH = 100
MAX_PIXELS = 16 * 784


@dataclass
class Outcome:
    """What became of the rows of one batch; ``problem`` is None where all is well."""

    rows: int = 0
    used: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    problem: str | None = None


@cache
def processing() -> Processing:
    """Loaded once a process."""
    torch.set_num_threads(1)
    return load_processing(ModelConfig(path=str(BASE)), QWEN2_VL)


@cache
def tower() -> Tower:
    """How the demo base's tower lays out photos."""
    config, family = open_config(ModelConfig(path=str(BASE)))
    return Tower.of(family, config)


@cache
def photos() -> list[tuple[str, bytes]]:
    """Small real photos in every format that is read, as file suffix and bytes."""
    rng = np.random.default_rng(1)
    sign = photo_sign(sign_lines(draw_name("train", rng), rng), (224, 168), rng).image
    sign = sign.resize((112, 84))
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    kinds: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("jpg", sign, {"quality": 85}),
        ("jpg", sign, {"progressive": True, "exif": exif, "icc_profile": profile}),
        ("jpg", sign.convert("CMYK"), {"icc_profile": profile}),
        ("jpg", sign.convert("L"), {}),
        ("png", sign, {"exif": exif}),
        ("png", sign.convert("P"), {"transparency": 3}),
        ("png", Image.fromarray(np.asarray(sign.convert("L")).astype(np.uint16) * 257), {}),
        ("webp", sign, {"quality": 70, "exif": exif}),
        ("webp", sign.convert("RGBA"), {"lossless": True}),
        ("gif", sign, {"save_all": True, "append_images": [sign.rotate(90)]}),
        ("tiff", sign, {"compression": "tiff_lzw"}),
        ("tiff", sign, {"compression": "jpeg"}),
        ("bmp", sign, {}),
    ]
    made = []
    for suffix, image, options in kinds:
        file = io.BytesIO()
        image.save(file, {"jpg": "jpeg"}.get(suffix, suffix), **options)
        made.append((suffix, file.getvalue()))
    return made


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with a few bytes flipped, put in or taken out, or its end cut off."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(len(damaged) + 1))
        kind = rng.integers(10)
        if kind < 6 and place < len(damaged):
            damaged[place] ^= int(rng.integers(1, 256))
        elif kind < 7:
            damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
        elif kind < 8:
            del damaged[place : place + int(rng.integers(1, 33))]
        elif kind < 9 and place < len(damaged):
            damaged[place] = int(rng.choice([0, 0xFF, 0x0A, 0x22, 0x7B]))
        else:
            del damaged[place:]
    return bytes(damaged)


def write_batch(folder: Path, rng: np.random.Generator) -> Path:
    """Writes BATCH damaged cases and a few sound rows, which keep the loader going."""
    lines = []
    for number in range(BATCH + BATCH // 4):
        suffix, photo = photos()[int(rng.integers(len(photos())))]
        name = f"{number}.{suffix}"
        content = [{"type": "image", "image": name}, {"type": "text", "text": PROMPT}]
        answer = [{"type": "text", "text": target_text(draw_name("train", rng))}]
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
        line = json.dumps({"messages": messages}, ensure_ascii=False).encode()
        what = rng.integers(3) if number < BATCH else 3
        (folder / name).write_bytes(damage(photo, rng) if what in (0, 2) else photo)
        lines.append(damage(line, rng) if what in (1, 2) else line)
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def run_batch(seed: tuple[int, int]) -> Outcome:
    """Sends one batch through the survey and the loader and accounts for its rows."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        path = write_batch(Path(folder), np.random.default_rng(seed))
        outcome.rows = sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))
        try:
            _account(path, seed, outcome)
        except Exception as error:
            outcome.problem = f"seed {seed}: {type(error).__name__}: {error}"
    return outcome


def _account(path: Path, seed: tuple[int, int], outcome: Outcome) -> None:
    rows = open_rows(path, "set-aside")
    outcome.set_aside.update(str(bad.reason) for bad in rows.set_aside)
    delivered, replaced = 0, {}
    steps = load_steps(
        rows,
        processing().encoder(MAX_PIXELS),
        processing().pad_token_id,
        tower(),
        StepPlan.of(rows, processing(), MAX_PIXELS, seed=seed[1], batch=8, budget=200),
        start=0,
        stop=-(-len(rows) // 8),
        workers=0,
        pin_memory=False,
    )
    for step in steps:
        for micro in step:
            delivered += micro.samples
            replaced.update({row.line: row.sentence for row in micro.replaced})
    outcome.replaced.update(_kind(sentence) for sentence in replaced.values())
    outcome.used = len(rows) - len(replaced)
    accounted = outcome.used + len(replaced) + len(rows.set_aside)
    if delivered != len(rows) or accounted != outcome.rows:
        outcome.problem = f"seed {seed}: {delivered} of {len(rows)} rows came out"


def _kind(sentence: str) -> str:
    """A sentence without the path before it and the details behind it."""
    told = sentence.partition(": ")[2] or sentence
    return told.partition(":")[0][:40]


def crashed(seed: tuple[int, int]) -> Outcome:
    """A batch that killed its process."""
    return Outcome(problem=f"seed {seed}: the process was killed")


def main() -> int:
    """Runs all cases, prints a table and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    seeds = [(options.seed, number) for number in range(-(-options.cases // BATCH))]
    total, problems = Outcome(), []
    for outcome in each_in_processes(run_batch, seeds, crashed, options.workers):
        total.rows += outcome.rows
        total.used += outcome.used
        total.set_aside += outcome.set_aside
        total.replaced += outcome.replaced
        problems += [outcome.problem] if outcome.problem else []
    document = {
        "cases": len(seeds) * BATCH,
        "rows": total.rows,
        "used": total.used,
        "set_aside": dict(total.set_aside.most_common()),
        "replaced_in_the_loader": dict(total.replaced.most_common()),
        "problems": problems,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": machine("pillow", "msgspec", "torch"),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
