"""The base with the adapter merged into its weights, as a model that needs no adapter."""

from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from core.errors import KocrError
from core.export.base_files import (
    CONFIG,
    GENERATION,
    LICENCES,
    TEXT_FILES,
    copy_files,
    read_json,
    write_json,
)
from core.export.processor import write_processor
from core.export.source import Source
from core.model.load import load_model
from core.model.lora import add_adapter, read_adapter

SHARD = "5GB"
# What greedy reading doesn't ask for, and what would change what it gives.
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "no_repeat_ngram_size")


def with_adapter(source: Source, weights: str) -> Any:
    """The base in a number format with the checkpoint's adapter beside it, on the CPU."""
    base = load_model(source.model, source.family, weights, source.precision.compute)
    model = add_adapter(base, source.family, source.config.lora, source.config.train.seed)
    read_adapter(model, source.adapter)
    return model.eval()


def merged_model(source: Source) -> Any:
    """The base in the run's number format with the adapter in its weights, on the CPU.

    The sum is made in fp32, the adapter's format, and rounded once; an adapter that was trained
    beside 4-bit weights is merged into the base's own. Raises KocrError if a weight isn't finite.
    """
    model = with_adapter(source, source.precision.compute).merge_and_unload()
    model.set_attn_implementation("sdpa")
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise KocrError(
                f"{source.adapter}: merged into {source.model.path}, {name} isn't finite in "
                f"{source.precision.compute}; export the adapter alone, or another checkpoint"
            )
    return model


def write_merged(model: Any, source: Source, folder: Path) -> None:
    """Writes a ``from_pretrained`` folder: safetensors, and all else as the base has it.

    Only what the run decided is another: the number format in config.json, a greedy
    generation_config.json, and the bounds of a photo's pixels.
    """
    model.generation_config = GenerationConfig(**source.generation)
    model.save_pretrained(str(folder), max_shard_size=SHARD)
    copy_files(source.model, (*TEXT_FILES, *LICENCES), folder)
    config = read_json(source.model, CONFIG) or {}
    write_json(folder / CONFIG, _in_dtype(config, source.dtype))
    generation = read_json(source.model, GENERATION) or {}
    kept = {key: value for key, value in generation.items() if key not in _SAMPLING}
    write_json(folder / GENERATION, kept | source.generation)
    write_processor(source.model, source.family.model_type, folder, *source.bounds)


def _in_dtype(config: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The config with its number format, under both names that transformers has had for it."""
    named = {key: dtype for key in ("dtype", "torch_dtype") if key in config}
    parts = {
        key: _in_dtype(value, dtype) if {"dtype", "torch_dtype"} & value.keys() else value
        for key, value in config.items()
        if isinstance(value, dict)
    }
    return config | parts | (named or {"torch_dtype": dtype})
