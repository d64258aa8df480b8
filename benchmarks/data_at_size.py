"""A data set of 155,421 rows through convert, check and the first batch: seconds and memory.

``python benchmarks/data_at_size.py [--out FILE]``: a few hundred real photos under 155,421 names
(hard links), with a store-names JSON; every stage is a process of its own, whose peak memory is
that of its largest process. Targets: below 1 GiB a process, first batch within 3 s when warm.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

TRAIN, VALIDATION = 138_149, 17_272
PHOTOS = 400
ROOT = Path(__file__).parents[1]
BASE = ROOT / "core" / "demo" / "base"
FIRST_BATCH = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from core.config import ModelConfig
from core.data.survey import open_rows
from core.model.load import open_config
from core.model.processing import load_processing
from core.model.vision import Tower
from core.train.loading.loader import load_steps
from core.train.loading.step_plan import StepPlan
model = ModelConfig(path=sys.argv[1])
config, family = open_config(model)
processing = load_processing(model, family)
loaded = time.perf_counter()
train, validation = (
    open_rows(Path(sys.argv[2]) / f"{split}.jsonl", "set-aside", Path(sys.argv[3]))
    for split in ("train", "validation")
)
opened = time.perf_counter()
steps = load_steps(
    train, processing.encoder(802_816), processing.pad_token_id, Tower.of(family, config),
    StepPlan.of(train, processing, 802_816, seed=0, batch=16, budget=1),
    start=0, stop=100, workers=2, pin_memory=False,
)
first = next(steps)
done = time.perf_counter()
assert len(first) == 16
print(json.dumps({
    "imports_and_model_files_s": round(loaded - started, 2),
    "open_rows_s": round(opened - loaded, 2),
    "loader_to_first_step_s": round(done - opened, 2),
    "open_to_first_batch_s": round(done - loaded, 2),
    "rows": len(train) + len(validation),
}))
"""


def make_data(folder: Path) -> None:
    """Writes the photos under all their names, and a label file for each side."""
    sys.path.insert(0, str(ROOT))
    from core.demo.signboards import write_dataset

    write_dataset(folder / "source", train=PHOTOS, validation=0, seed=9)
    files = sorted((folder / "source" / "images" / "train").iterdir())
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("validation", VALIDATION)):
        photos = folder / "photos" / split
        photos.mkdir(parents=True)
        images = []
        for number in range(count):
            name = f"{split}/store_{number:06d}.jpg"
            os.link(files[number % PHOTOS], folder / "photos" / name)
            images.append(
                {
                    "fileName": name,
                    "store_kor_name": f"{chr(0xAC00 + int(rng.integers(11172)))}마트 {number}",
                    "store_eng_name": f"MART {number}" if number % 3 == 0 else "",
                    "business_category": "소매업",
                    "item_sub_category": "종합 소매",
                    "location": f"서울특별시 종로구 {split} {number}",
                }
            )
        text = json.dumps({"images": images}, ensure_ascii=False)
        (folder / f"{split}.json").write_text(text, encoding="utf-8")


def measure(name: str, command: list[str], folder: Path) -> dict[str, Any]:
    """Runs a command in a process that reports the peak memory of its children and its own."""
    wrapper = (
        "import json, resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'rc': done.returncode, 'seconds': time.perf_counter() - started,\n"
        "    'peak_mib': usage.ru_maxrss / 1024, 'out': done.stdout[-2000:]}))\n"
    )
    environment = {
        **os.environ,
        "KOCR_HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, "-c", wrapper, *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    found = json.loads(done.stdout)
    result: dict[str, Any] = {
        "stage": name,
        "exit_code": found["rc"],
        "seconds": round(found["seconds"], 1),
        "peak_mib_of_the_largest_process": round(found["peak_mib"]),
    }
    if name.startswith("first batch"):
        result |= json.loads(found["out"])
    figures = ", ".join(f"{key} {value}" for key, value in result.items() if key != "stage")
    print(f"{name:<24} {figures}", flush=True)
    return result


def main() -> int:
    """Measures every stage and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        make_data(folder)
        print(f"made {TRAIN + VALIDATION:,} rows in {time.perf_counter() - started:.0f} s")
        kocr = [sys.executable, "-m", "kocr_tui.cli"]
        out, home = str(folder / "out"), str(folder / "home" / "cache")
        convert = [*kocr, "convert", str(folder / "train.json"), out, "--validation"]
        convert += [str(folder / "validation.json"), "--images", str(folder / "photos")]
        first_batch = [sys.executable, "-c", FIRST_BATCH, str(BASE), out]
        stages = [
            measure("convert", convert, folder),
            measure("convert, photos known", [*convert, "--force"], folder),
            measure("first batch, nothing known", [*first_batch, str(folder / "none")], folder),
            measure("first batch, cold", [*first_batch, home], folder),
            measure("first batch, warm", [*first_batch, home], folder),
            measure("check", [*kocr, "check", out], folder),
            measure("check, photos known", [*kocr, "check", out], folder),
        ]
    document = {
        "rows": TRAIN + VALIDATION,
        "machine": machine("torch", "pillow", "numpy", "msgspec"),
        "stages": stages,
        "peak_mib_of_this_script": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if options.out:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
