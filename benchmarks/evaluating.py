"""Photos read a second by evaluation, against one photo at a time as model cards show it.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/evaluating.py --out benchmarks/results/evaluating.json

The demo's base on signs as the demo draws them, greedy, at the same pixel budget and the same most
new tokens. The other loop is transformers' own: open the photo with Pillow, the chat template, the
image processor, ``generate`` with its KV cache, decode (what Qwen2VLProcessor does around them is
spelt out, since that can't be made without torchvision). Ours is what `kocr-tui evaluate` does:
photos opened in threads ahead of the model, batches of sixteen (as many as the demo's run proves)
of about the same length, every row scored and written. Threads are torch's own choice in both, and
wait as in the processes that kocr-tui starts. Loading the model is in neither figure. Rounds are
interleaved in one process; a figure is the median of samples a second over rounds.

Expected before it was measured: a small model's step on a processor costs nearly the same for many
rows as for one, so three to four times the samples a second.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from core.data.survey import open_rows
from core.demo.prepare import demo_config
from core.demo.signboards import write_dataset
from core.evaluate.predictions import read_predictions
from core.read.evaluate import evaluate
from core.reading import Evaluation, ReadRequest, Source

MAX_PIXELS, NEW_TOKENS, BATCH = 140 * 784, 64, 16
IMAGE, SEED = "<|image_pad|>", 17


class OneAtATime:
    """The loop of a model card around transformers' own classes."""

    def __init__(self, folder: str) -> None:
        self._model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._images = AutoImageProcessor.from_pretrained(folder)
        assert self._images.size["longest_edge"] == MAX_PIXELS

    def read(self, photo: str, prompt: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        with Image.open(photo) as image:
            pixels = self._images(images=[image.convert("RGB")], return_tensors="pt")
        count = int(pixels["image_grid_thw"].prod()) // self._images.merge_size**2
        inputs = self._tokenizer(text.replace(IMAGE, IMAGE * count), return_tensors="pt")
        ids = inputs["input_ids"]
        types = (ids == self._tokenizer.convert_tokens_to_ids(IMAGE)).long()
        with torch.inference_mode():
            written = self._model.generate(
                **inputs,
                **pixels,
                mm_token_type_ids=types,
                do_sample=False,
                max_new_tokens=NEW_TOKENS,
            )
        new = written[:, ids.shape[1] :]
        return str(self._tokenizer.batch_decode(new, skip_special_tokens=True)[0])


def theirs(loop: OneAtATime, data: Path, count: int) -> tuple[float, dict[int, str]]:
    rows = open_rows(data, "refuse")
    chosen = [rows[index] for index in range(count)]
    started = time.perf_counter()
    replies = [loop.read(row.image, row.prompt) for row in chosen]
    seconds = time.perf_counter() - started
    return count / seconds, {int(rows.lines[n]): reply for n, reply in enumerate(replies)}


def ours(folder: str, data: Path, out: Path) -> tuple[float, dict[int, str]]:
    work = Evaluation(data=str(data), out=str(out))
    request = ReadRequest(
        source=Source(model=folder), work=work, max_pixels=MAX_PIXELS, batch=BATCH
    )
    evaluate(request, work, lambda *_told: None)
    read = read_predictions(out).rows
    seconds = sum(row.ms or 0.0 for row in read) / 1000
    return len(read) / seconds, {row.row: row.reply or "" for row in read}


def measure(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    config = demo_config()
    write_dataset(folder / "signs", train=1, validation=count, seed=SEED)
    data = folder / "signs" / "validation.jsonl"
    loop = OneAtATime(config.model.path)
    rates: dict[str, list[float]] = {"theirs": [], "ours": []}
    same = 0
    for number in range(rounds + 1):
        # The first round warms up, and is left out.
        rate, expected = theirs(loop, data, count if number else BATCH)
        found, replies = ours(config.model.path, data, folder / f"{number}.jsonl")
        same = sum(replies[line] == reply for line, reply in expected.items())
        if number:
            rates["theirs"].append(rate)
            rates["ours"].append(found)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "rows": count,
        "same_replies": same,
        "samples_per_s": {name: summary(values) for name, values in rates.items()},
        "ratio": round(medians["ours"] / medians["theirs"], 2),
    }


def summary(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KOCR_HOME"] = folder
        found = measure(Path(folder), given.rows, given.rounds)
    for name, rate in found["samples_per_s"].items():
        print(f"{name}: {rate['median']:.2f} samples/s")
    print(
        f"{found['ratio']:.2f} times; {found['same_replies']} of {found['rows']} replies the same"
    )
    if given.out is not None:
        packages = machine("torch", "transformers", "pillow")
        settings = {
            "max_pixels": MAX_PIXELS,
            "max_new_tokens": NEW_TOKENS,
            "batch": BATCH,
            "threads": torch.get_num_threads(),
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
            "load_average": round(os.getloadavg()[0], 1),
        }
        text = json.dumps({"machine": packages, **settings, **found}, indent=2)
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
