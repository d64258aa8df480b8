"""LoRA adapters by peft."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from core.config import LoraConfig
from core.errors import UnfitError, UsageError, first_line
from core.model.families.family import Family

WEIGHTS_FILE = "adapter_model.safetensors"
# Of the ways in which peft begins an adapter, those that leave the base's weights as they are.
_LEAVE_THE_BASE = (True, False, None, "gaussian", "orthogonal", "eva")


def add_adapter(model: Any, family: Family, lora: LoraConfig, seed: int) -> PeftModel:
    """Wraps the model with a fresh adapter (fp32) whose first weights depend on ``seed`` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted: PeftModel = get_peft_model(
            model,
            PeftLoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=family.lora_pattern(lora.targets),
                bias="none",
                task_type="CAUSAL_LM",
            ),
        )
    if model.dtype != torch.float32:
        _leave_casting_to_autocast(adapted)
    return adapted


def _leave_casting_to_autocast(adapted: PeftModel) -> None:
    """Keeps peft from casting every layer's input to fp32, which autocast would only undo.

    There and back makes a copy for every adapted layer, and each is kept for the backward pass.
    """
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False


def trainable_parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and tensors that training changes, in the model's own order."""
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Writes the adapter in peft's own format (adapter_config.json, safetensors)."""
    model.save_pretrained(str(folder), safe_serialization=True)


def read_adapter(model: PeftModel, folder: Path) -> None:
    """Puts a saved adapter's weights into the model's adapter.

    Raises UnfitError, with nothing changed, if its tensors are not those of the model's adapter.
    """
    tensors = load_file(folder / WEIGHTS_FILE)
    check_tensors(tensors, get_peft_model_state_dict(model), "the adapter")
    set_peft_model_state_dict(model, tensors)


def open_adapter(folder: Path) -> PeftLoraConfig:
    """The config of an adapter in peft's format, its base model's name in it.

    Raises UsageError if it can't be read, isn't LoRA, or has no safetensors.
    """
    try:
        config = PeftConfig.from_pretrained(str(folder))
    # A file of another kind, or of a newer peft, fails in many ways.
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{folder / 'adapter_config.json'}: not an adapter's config: {first_line(error)}"
        ) from error
    if not isinstance(config, PeftLoraConfig):
        raise UsageError(f"{folder}: its kind is {config.peft_type}; only LoRA adapters are read")
    if config.init_lora_weights not in _LEAVE_THE_BASE:
        raise UsageError(
            f"{folder}: {config.init_lora_weights!r} changes the base's weights too; merge it into "
            "its base, and name that"
        )
    if not (folder / WEIGHTS_FILE).is_file():
        raise UsageError(f"{folder}: no {WEIGHTS_FILE}; pickled weights are not opened")
    return config


def put_on(model: Any, config: PeftLoraConfig, folder: Path) -> PeftModel:
    """Wraps the base with the adapter in ``folder``, to read with.

    Raises UsageError if the adapter's tensors are not those of this base.
    """
    config.init_lora_weights = True
    config.inference_mode = True
    try:
        adapted: PeftModel = get_peft_model(model, config)
        read_adapter(adapted, folder)
    except (UnfitError, ValueError) as error:
        raise UsageError(f"{folder}: not an adapter of its base: {first_line(error)}") from error
    if model.dtype != torch.float32:
        _leave_casting_to_autocast(adapted)
    return adapted


def check_tensors(
    found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], where: str
) -> None:
    """Raises UnfitError that names the first tensor missing, unknown or of another shape."""
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            raise UnfitError(f"{where} has no {name}")
        if name not in wanted:
            raise UnfitError(f"{where} has {name}, which the model doesn't know")
        shapes = tuple(found[name].shape), tuple(wanted[name].shape)
        if shapes[0] != shapes[1]:
            raise UnfitError(f"{where} has {name} of shape {shapes[0]} instead of {shapes[1]}")
