"""Small real checkpoints and real data sets that tests share."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image
from sign_rows import chat_row

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Tests run side by side, one on a core: more threads each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure, so no example has a deadline.
settings.register_profile("kocr", deadline=None)
settings.load_profile("kocr")


@pytest.fixture(scope="session", autouse=True)
def _locks_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests that run side by side, or beside a real run, don't keep each other off a card."""
    os.environ["KOCR_LOCKS"] = str(tmp_path_factory.mktemp("locks"))


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Writes a JSONL of (image name, size, answer) with plain photos, and returns its path."""

    def write(rows: list[tuple[str, tuple[int, int], str]], name: str = "rows.jsonl") -> Path:
        lines = []
        for image, size, answer in rows:
            Image.new("RGB", size, (90, 120, 200)).save(tmp_path / image)
            lines.append(json.dumps(chat_row(image, answer), ensure_ascii=False))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Qwen2-VL of two layers with the demo's tokenizer and image processor."""
    from tiny_models import make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("tiny-qwen2-vl"), "qwen2_vl")


@pytest.fixture(scope="session")
def tiny_families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An untrained checkpoint of every family by its model type."""
    from tiny_models import make_checkpoint

    from core.model.families import FAMILIES

    made = tmp_path_factory.mktemp("tiny-families")
    return {name: make_checkpoint(made / name, name) for name in FAMILIES}
