"""Makes the demo ready: photos, labels, and a config that trains the shipped base on them.

``python -m core.demo.prepare FOLDER`` writes FOLDER/demo.toml and what it refers to.
"""

import hashlib
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from core import toml_file
from core.config import (
    DataConfig,
    DeviceConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    TuneConfig,
    ValidationConfig,
)
from core.demo.signboards import write_dataset
from core.errors import KocrError
from core.whole_file import write_whole

TRAIN_PHOTOS = 2000
VALIDATION_PHOTOS = 320
SEED = 7
_STAMP_FILE = "made-from"


def prepare(folder: Path) -> Path:
    """Writes the photos unless they are there already, and the config; returns its path."""
    stamp = _stamp()
    stamp_file = folder / _STAMP_FILE
    if not stamp_file.exists() or stamp_file.read_text() != stamp:
        temporary = folder.with_name(f".{folder.name}.making")
        shutil.rmtree(temporary, ignore_errors=True)
        write_dataset(temporary, train=TRAIN_PHOTOS, validation=VALIDATION_PHOTOS, seed=SEED)
        (temporary / _STAMP_FILE).write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    config = folder / "demo.toml"
    write_whole(config, toml_file.encode(demo_config()).encode())
    return config


def demo_config() -> RunConfig:
    """The demo's run: the CPU with the memory of a small card, under two minutes of training."""
    return RunConfig(
        name="demo",
        model=ModelConfig(path=str(files("core.demo") / "base"), dtype="fp32"),
        data=DataConfig(train="train.jsonl", validation="validation.jsonl"),
        device=DeviceConfig(profile="cpu", capacity_gib=70 / 1024),
        tune=TuneConfig(tolerance=0.08),
        lora=LoraConfig(rank=16, alpha=32.0),
        train=TrainConfig(
            epochs=1,
            batch=8,
            micro_batch_tokens=1312,
            learning_rate=2e-3,
            warmup_ratio=0.05,
            loader_workers=1,
            checkpoint_minutes=0.5,
        ),
        validation=ValidationConfig(
            window=128, slice_rows=16, selection_rows=64, report_rows=240, max_new_tokens=32
        ),
    )


def _stamp() -> str:
    """What the photos were made from: the generator's own source and its arguments."""
    source = hashlib.sha256()
    for name in ("lexicon.py", "scenes.py", "signboards.py", "typeset.py"):
        source.update((files("core.demo") / name).read_bytes())
    return f"{TRAIN_PHOTOS} {VALIDATION_PHOTOS} {SEED} {source.hexdigest()}"


def main(arguments: list[str]) -> int:
    """Prints the config's path; an error is one line on standard error."""
    try:
        print(prepare(Path(arguments[0])))
    except (KocrError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
