"""Untrained checkpoints of two layers of every family, made on the spot."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen3VLConfig

from core.demo.base_model import SPECIAL_TOKENS, build_config, build_tokenizer, save_processor

_WIDTH = 64
COMMIT = "895c3a49bc3fa70a340399125c650a463535e71c"


def tiny_config(model_type: str, tokenizer: Any) -> Any:
    """Two layers each; windows, DeepStack and learned positions are all at work."""
    if model_type == "qwen2_vl":
        config = build_config(tokenizer)
        config.text_config.num_hidden_layers = 2
        config.text_config.layer_types = config.text_config.layer_types[:2]
        config.vision_config.depth = 2
        return config
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": _WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [2, 3, 3],
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": _WIDTH,
    }
    common = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": True,
    }
    if model_type == "qwen2_5_vl":
        # Windows of 2 x 2 image tokens, so that photos have several, some of them cut off.
        vision |= {"window_size": 56, "fullatt_block_indexes": [1]}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **common)
    text |= {"head_dim": 16}
    text["rope_parameters"] |= {"mrope_interleaved": True}
    vision |= {"patch_size": 16, "num_position_embeddings": 36, "deepstack_visual_indexes": [0]}
    return Qwen3VLConfig(text_config=text, vision_config=vision, **common)


def make_checkpoint(folder: Path, model_type: str) -> Path:
    """A ``from_pretrained`` folder of a family; the weights are always the same."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(tiny_config(model_type, tokenizer))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" not in name and value.dim() > 1:
                value.normal_(std=0.1)
    model.save_pretrained(folder)
    patch = 16 if model_type == "qwen3_vl" else 14
    save_processor(folder, tokenizer, patch=patch)
    return folder


def hub_of_one(model: Path, cache: Path, monkeypatch: Any) -> Path:
    """The hub's cache with ``some/sign-reader`` alone, of that folder; returns its snapshot."""
    repository = cache / "models--some--sign-reader"
    snapshot = Path(shutil.copytree(model, repository / "snapshots" / COMMIT))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return snapshot
