"""What benchmarks on a card share: a checkpoint of random weights, the card's ceiling, its use."""

import os
import time
from pathlib import Path
from typing import Any

import torch

PRESET = "Qwen2-VL-2B"


def bf16_ceiling() -> float:
    """Operations a second of a large bf16 product, the best of ten, clocks having risen."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    best = 0.0
    for _ in range(10):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(5):
            a @ a
        torch.cuda.synchronize()
        best = max(best, 5 * 2 * 8192**3 / (time.perf_counter() - started))
    return best


def prepare(folder: Path) -> dict[str, Any]:
    """Writes the checkpoint and measures the card, in a process that leaves nothing on it."""
    ceiling = bf16_ceiling()
    write_checkpoint(folder)
    return {"card": torch.cuda.get_device_name(), "ceiling": ceiling}


def write_checkpoint(folder: Path) -> None:
    """The architecture with random weights, and the demo's tokenizer and image processor."""
    from core.demo.base_model import build_tokenizer, save_processor
    from core.model.presets import preset_config

    tokenizer = build_tokenizer()
    config = preset_config(PRESET)
    config.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    config.video_token_id = tokenizer.convert_tokens_to_ids("<|video_pad|>")
    config.vision_start_token_id = tokenizer.convert_tokens_to_ids("<|vision_start|>")
    config.vision_end_token_id = tokenizer.convert_tokens_to_ids("<|vision_end|>")
    from transformers import AutoModelForImageTextToText

    with torch.device("cuda"):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    save_processor(folder, tokenizer)


def nvml_bytes() -> int:
    """What this process has on the card now; what all have where NVML doesn't tell them apart."""
    from core.hardware.nvml import Monitor, auto_card

    card = auto_card()
    if card is None:
        return 0
    with Monitor() as monitor:
        found = [p for p in monitor.processes(card.uuid or "") if p.pid == os.getpid()]
    mine = found[0].used_bytes if found else None
    return mine or card.used_bytes or 0
