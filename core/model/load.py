"""Base models through transformers' own classes."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from core.config import ModelConfig
from core.errors import UsageError, first_line
from core.model.families import Family, family_of

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def find_family(model: ModelConfig) -> Family:
    """Reads the model's config; raises UsageError if it's missing or of an unknown family."""
    try:
        config = AutoConfig.from_pretrained(model.path, revision=model.revision)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model.path}: can't read the model's config: {first_line(error)}; "
            "give a model folder or a hub id such as Qwen/Qwen2-VL-2B-Instruct"
        ) from error
    return family_of(config.model_type, model.path)


def load_model(model: ModelConfig, weights: str) -> Any:
    """The base model with its weights in a number format, on the CPU, in evaluation mode.

    Raises UsageError if weights are missing or don't fit the architecture.
    """
    try:
        loaded, report = AutoModelForImageTextToText.from_pretrained(
            model.path,
            revision=model.revision,
            dtype=DTYPES[weights],
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{model.path}: can't load the weights: {first_line(error)}") from error
    if missing := report["missing_keys"]:
        raise UsageError(f"{model.path}: weights are missing, {sorted(missing)[0]} among them")
    return loaded.eval()
