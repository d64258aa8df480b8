"""Samples a second of our loader against transformers' processor in a torch DataLoader.

``python benchmarks/loader_throughput.py [--out FILE]``: the same 12-megapixel photos, rows, pixel
budget and number of workers for both, taken in turns in one run. With torchvision installed the
stock side takes transformers' torchvision-backed image processor as well as the PIL one.
"""

import argparse
import cProfile
import io
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from PIL import Image, ImageFilter, ImageOps
from torch.utils.data import DataLoader, Dataset
from torchvision_operators import TORCHVISION
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from core.config import ModelConfig
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
PHOTO = (4032, 3024)
ORIENTATIONS = (1, 6)
PROFILED = 6


def write_photos(folder: Path, count: int) -> Path:
    """Writes phone-sized JPEGs, every other one stored on its side, and their JSONL."""
    lines = []
    for index in range(count):
        rng = np.random.default_rng([11, index])
        name = draw_name("train", rng)
        sign = photo_sign(sign_lines(name, rng), (448, 336), rng).image.resize(PHOTO)
        grain = rng.normal(0, 6, (PHOTO[1], PHOTO[0], 1)) + np.asarray(sign, dtype=np.float32)
        exif = Image.Exif()
        exif[0x0112] = ORIENTATIONS[index % len(ORIENTATIONS)]
        photo = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
        photo.filter(ImageFilter.GaussianBlur(1)).save(
            folder / f"{index}.jpg", quality=92, exif=exif
        )
        content = [{"type": "image", "image": f"{index}.jpg"}, {"type": "text", "text": PROMPT}]
        answer = [{"type": "text", "text": target_text(name)}]
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"messages": messages}, ensure_ascii=False))
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class StockRows(Dataset[dict[str, torch.Tensor]]):
    """Rows as the usual fine-tuning script reads them."""

    def __init__(self, path: Path, image_processor: Any, tokenizer: Any, max_pixels: int) -> None:
        self.folder = path.parent
        self.rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.size = {"shortest_edge": 56 * 56, "longest_edge": max_pixels}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        messages = self.rows[index]["messages"]
        opened = Image.open(self.folder / messages[0]["content"][0]["image"])
        image = ImageOps.exif_transpose(opened).convert("RGB")
        vision = self.image_processor(images=[image], size=self.size, return_tensors="pt")
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        tokens = int(vision["image_grid_thw"].prod()) // 4
        text = text.replace("<|image_pad|>", "<|image_pad|>" * tokens)
        return {**self.tokenizer(text, return_tensors="pt"), **vision}


def stock_samples(path: Path, image_processor: Any, pixels: int, workers: int) -> Iterator[Any]:
    """The stock path's samples, one at a time."""
    rows = StockRows(path, image_processor, AutoTokenizer.from_pretrained(BASE), pixels)
    if not workers:
        return (rows[index] for index in range(len(rows)))
    return iter(DataLoader(rows, batch_size=None, num_workers=workers, prefetch_factor=4))


def tower() -> Tower:
    """How the demo base's tower lays out photos."""
    config, family = open_config(ModelConfig(path=str(BASE)))
    return Tower.of(family, config)


def our_samples(path: Path, processing: Processing, pixels: int, workers: int) -> Iterator[Any]:
    """Our loader's micro-batches of one."""
    rows = open_rows(path, "refuse")
    return load_steps(
        rows,
        processing.encoder(pixels),
        processing.pad_token_id,
        tower(),
        StepPlan.of(rows, processing, pixels, seed=0, batch=1, budget=1),
        start=0,
        stop=len(rows),
        workers=workers,
        pin_memory=False,
    )


def samples_per_s(make: Callable[[], Iterator[Any]]) -> float:
    """Samples a second once the first has arrived, so that starting workers doesn't count."""
    arriving = make()
    next(arriving)
    started = time.perf_counter()
    return sum(1 for _ in arriving) / (time.perf_counter() - started)


def where_time_goes(make: Callable[[], Iterator[Any]]) -> list[str]:
    """The functions with the most own time (ms a sample) in one process without workers."""
    arriving = make()
    next(arriving)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(PROFILED):
        next(arriving)
    profile.disable()
    profiles = pstats.Stats(profile, stream=io.StringIO()).get_stats_profile().func_profiles
    own = sorted(((figures.tottime, name) for name, figures in profiles.items()), reverse=True)[:7]
    return [f"{seconds / PROFILED * 1e3:6.1f} ms  {name}" for seconds, name in own]


def stock_processors() -> dict[str, Any]:
    """The image processors that transformers offers here."""
    found: dict[str, Any] = {"PIL": Qwen2VLImageProcessorPil.from_pretrained(BASE)}
    if TORCHVISION:
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

        found["torchvision"] = Qwen2VLImageProcessor.from_pretrained(BASE)
    return found


def main() -> int:
    """Measures, prints a table and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-pixels", type=int, nargs="+", default=[200_704, 802_816, 3_211_264])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    processing = load_processing(ModelConfig(path=str(BASE)), QWEN2_VL)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_photos(Path(folder), options.photos)
        for pixels in options.max_pixels:
            makers: dict[str, Callable[[int], Iterator[Any]]] = {
                f"stock ({name})": lambda workers, p=processor, px=pixels: stock_samples(
                    path, p, px, workers
                )
                for name, processor in stock_processors().items()
            }
            makers["kocr-tui"] = lambda workers, px=pixels: our_samples(
                path, processing, px, workers
            )
            speeds: dict[str, list[float]] = {name: [] for name in makers}
            for _ in range(options.rounds):
                for name, make in makers.items():
                    speeds[name].append(samples_per_s(lambda m=make: m(options.workers)))
            ours = statistics.median(speeds["kocr-tui"])
            for name, make in makers.items():
                speed = statistics.median(speeds[name])
                results.append(
                    {
                        "max_pixels": pixels,
                        "path": name,
                        "samples_per_s": round(speed, 2),
                        "ratio": round(ours / speed, 2),
                        "profile": where_time_goes(lambda m=make: m(0)),
                    }
                )
                print(f"{pixels:>9,} px  {name:<20} {speed:7.2f} samples/s", flush=True)
                print("\n".join(f"{'':14}{line}" for line in results[-1]["profile"]), flush=True)
    print("\n   budget  path                  samples/s  kocr-tui is faster by")
    for row in results:
        ratio = f"{row['ratio']:.2f}x" if row["path"] != "kocr-tui" else ""
        print(
            f"{row['max_pixels']:>9,}  {row['path']:<20} {row['samples_per_s']:>10.2f}  {ratio:>10}"
        )
    if options.out:
        document = {
            "photos": options.photos,
            "photo_pixels": PHOTO[0] * PHOTO[1],
            "workers": options.workers,
            "machine": machine(
                "torch",
                "transformers",
                "pillow",
                "numpy",
                *(["torchvision"] if TORCHVISION else []),
            ),
            "results": results,
        }
        options.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
