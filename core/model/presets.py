"""Architectures of the published models, so that plans and benchmarks need no weights.

Numbers are those of each model's config.json on the Hugging Face hub.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from core.errors import UsageError


@dataclass(frozen=True)
class _Text:
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    tied: bool
    vocabulary: int = 151_936


_TEXTS = {
    "Qwen2-VL-2B": _Text(1536, 8960, 28, 12, 2, tied=True),
    "Qwen2-VL-7B": _Text(3584, 18944, 28, 28, 4, tied=False, vocabulary=152_064),
    "Qwen2.5-VL-3B": _Text(2048, 11008, 36, 16, 2, tied=True),
    "Qwen2.5-VL-7B": _Text(3584, 18944, 28, 28, 4, tied=False, vocabulary=152_064),
    "Qwen3-VL-2B": _Text(2048, 6144, 28, 16, 8, tied=True),
    "Qwen3-VL-4B": _Text(2560, 9728, 36, 32, 8, tied=True),
    "Qwen3-VL-8B": _Text(4096, 12288, 36, 32, 8, tied=False),
}
PRESETS = tuple(_TEXTS)
_TOKENS = {
    "image_token_id": 151_655,
    "video_token_id": 151_656,
    "vision_start_token_id": 151_652,
    "vision_end_token_id": 151_653,
}


def preset_config(name: str) -> Any:
    """transformers' config of a published model; raises UsageError with the known names."""
    if name not in _TEXTS:
        raise UsageError(f"no architecture {name!r}; known: {', '.join(PRESETS)}")
    text = _TEXTS[name]
    model_type, text_extra, vision = _family_parts(name, text)
    return AutoConfig.for_model(
        model_type,
        text_config={
            "vocab_size": text.vocabulary,
            "hidden_size": text.hidden,
            "intermediate_size": text.intermediate,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "num_key_value_heads": text.kv_heads,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": text.tied,
            **text_extra,
        },
        vision_config=vision,
        tie_word_embeddings=text.tied,
        **_TOKENS,
    )


def preset_model(name: str, dtype: torch.dtype, device: torch.device | str) -> Any:
    """A published model's shape with random weights made on ``device`` ("meta" makes none)."""
    config = preset_config(name)
    with torch.device(device):
        return AutoModelForImageTextToText.from_config(config, dtype=dtype)


def _family_parts(name: str, text: _Text) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Model type, what the family adds to the text's numbers, and the tower's numbers."""
    vision: dict[str, Any]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    if name.startswith("Qwen2-VL"):
        vision = {
            "depth": 32,
            "embed_dim": 1280,
            "hidden_size": text.hidden,
            "num_heads": 16,
            "mlp_ratio": 4,
            "patch_size": 14,
        }
        return "qwen2_vl", {"rope_parameters": rope, "max_position_embeddings": 32_768}, vision
    if name.startswith("Qwen2.5-VL"):
        vision = {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": text.hidden,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
        }
        return "qwen2_5_vl", {"rope_parameters": rope, "max_position_embeddings": 128_000}, vision
    large = name.endswith("8B")
    vision = {
        "depth": 27 if large else 24,
        "hidden_size": 1152 if large else 1024,
        "intermediate_size": 4304 if large else 4096,
        "num_heads": 16,
        "out_hidden_size": text.hidden,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24] if large else [5, 11, 17],
    }
    interleaved = rope | {
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    }
    extra = {"rope_parameters": interleaved, "head_dim": 128, "max_position_embeddings": 262_144}
    return "qwen3_vl", extra, vision
