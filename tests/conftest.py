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

# A busy machine is no failure, so no example has a deadline.
settings.register_profile("kocr", deadline=None)
settings.load_profile("kocr")


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
    import torch

    from core.demo.base_model import build_config, build_model, build_tokenizer, save_processor

    folder = tmp_path_factory.mktemp("tiny-qwen2-vl")
    tokenizer = build_tokenizer()
    config = build_config(tokenizer)
    config.text_config.num_hidden_layers = 2
    config.text_config.layer_types = config.text_config.layer_types[:2]
    config.vision_config.depth = 2
    torch.manual_seed(0)
    build_model(config).save_pretrained(folder)
    save_processor(folder, tokenizer)
    return folder
