"""Writes the demo data set: photo-like shop signs and their names as Qwen2-VL chats."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.demo.lexicon import SLOGANS, ShopName, Split, bilingual_names, shop_names
from core.demo.scenes import Random, TextLine, photo_sign

PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."
_AREA_CODES = ("02", "031", "032", "051", "053", "062", "042", "064", "010")


@dataclass(frozen=True, slots=True)
class DatasetPaths:
    """Where a written data set lies."""

    train: Path
    validation: Path


def write_dataset(folder: Path, *, train: int, validation: int, seed: int) -> DatasetPaths:
    """Writes ``train`` and ``validation`` signs as JPEG files and one JSONL per split.

    The same arguments give the same bytes; no shop name is in both splits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return DatasetPaths(
        train=_write_split(folder, "train", train, seed),
        validation=_write_split(folder, "validation", validation, seed),
    )


def target_text(name: ShopName) -> str:
    """The answer that a sign with ``name`` asks for: Korean first, English in parentheses."""
    return f"{name.korean} ({name.english})" if name.english else name.korean


def phone_number(rng: Random) -> str:
    """A made-up Korean phone number such as ``031-123-4567``."""
    area = _AREA_CODES[int(rng.integers(len(_AREA_CODES)))]
    exchange = rng.integers(200, 9999) if area == "010" else rng.integers(200, 999)
    return f"{area}-{exchange}-{rng.integers(0, 10000):04d}"


def photo_size(rng: Random) -> tuple[int, int]:
    """The width and height in pixels of one photo."""
    width = int(224 + 168 * rng.beta(1.3, 2.6))
    height = int(np.clip(width * rng.uniform(0.62, 0.8), 168, 280))
    return width, height


def sign_lines(name: ShopName, rng: Random) -> list[TextLine]:
    """What stands on the sign of one shop, from top to bottom."""
    lines = [TextLine(name.korean, "name")]
    if name.english:
        lines.insert(0 if rng.random() < 0.15 else 1, TextLine(name.english, "english"))
    if rng.random() < 0.4:
        lines.insert(0, TextLine(_slogan(rng), "slogan"))
    if rng.random() < 0.3:
        lines.append(TextLine(_slogan(rng), "slogan"))
    if rng.random() < 0.5:
        lines.append(TextLine(phone_number(rng), "phone"))
    return lines


def draw_name(split: Split, rng: Random) -> ShopName:
    """A random shop name of ``split``; about three in ten have an English name as well."""
    names = bilingual_names(split) if rng.random() < 0.3 else shop_names(split)
    return names[int(rng.integers(len(names)))]


def _slogan(rng: Random) -> str:
    return SLOGANS[int(rng.integers(len(SLOGANS)))]


def _write_split(folder: Path, split: Split, count: int, seed: int) -> Path:
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    write_one = partial(_write_sign, folder, split, seed)
    path = folder / f"{split}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for record in _each(write_one, count):
            file.write(record + "\n")
    return path


def _each(write_one: partial[str], count: int) -> Iterator[str]:
    workers = min(os.cpu_count() or 1, 4)
    if count < 50 or workers == 1:
        yield from map(write_one, range(count))
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(write_one, range(count), chunksize=16)


def _write_sign(folder: Path, split: Split, seed: int, index: int) -> str:
    """Draws and saves sign number ``index`` (from 0); returns its line of the JSONL."""
    rng = np.random.default_rng([seed, split == "validation", index])
    name = draw_name(split, rng)
    sign = photo_sign(sign_lines(name, rng), photo_size(rng), rng)
    relative = f"images/{split}/{index + 1:06d}.jpg"
    sign.image.save(folder / relative, "JPEG", quality=int(rng.integers(55, 95)))
    question = [{"type": "image", "image": relative}, {"type": "text", "text": PROMPT}]
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": [{"type": "text", "text": target_text(name)}]},
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False)
