"""Base models through transformers' own classes."""

import errno
from collections.abc import Iterator
from pathlib import Path
from types import MethodType
from typing import Any

import msgspec
import torch
from bitsandbytes.nn import Linear4bit
from huggingface_hub import errors as hub
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, BitsAndBytesConfig
from transformers.utils import cached_file, extract_commit_hash, find_adapter_config_file

from core.config import ModelConfig
from core.errors import KocrError, UsageError, first_line
from core.model import attention
from core.model.families import family_of
from core.model.families.family import Family
from core.profile import GIB

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
CONTEXT_BYTES = {"cuda": 300 * 2**20, "cpu": 0}
# A block of 64 weights: 32 bytes, and its scale, itself in 8 bits (QLoRA, arXiv 2305.14314).
_NF4_BYTES = 0.5 + 0.127 / 8


def open_config(model: ModelConfig) -> tuple[Any, Family]:
    """The model's transformers config and its family.

    Raises UsageError if it can't be had, is of an unknown family, or comes with an adapter.
    """
    try:
        config = AutoConfig.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model.path}: can't read the model's config: {why_not_loaded(error)}"
        ) from error
    if find_adapter_config_file(model.path, revision=model.revision) is not None:
        raise UsageError(
            f"{model.path}: an adapter (adapter_config.json) is with it, which transformers would "
            "put into the model; take the base model alone"
        )
    return config, family_of(config.model_type, model.path)


def pin(model: ModelConfig) -> ModelConfig:
    """The model, once it was opened, at the hub's commit that it came from; a folder as it is."""
    if Path(model.path).expanduser().is_dir():
        return model
    # What was just opened is in the cache, under the name of its commit.
    file = cached_file(model.path, "config.json", revision=model.revision, local_files_only=True)
    commit = extract_commit_hash(file, None)
    return model if commit is None else msgspec.structs.replace(model, revision=commit)


def weight_bytes(config: Any, weights: str, compute: str) -> int:
    """Bytes that the base's weights take in a number format, from its architecture alone."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    each = DTYPES[compute].itemsize
    quantized: set[Any] = set()
    if weights == "nf4":
        layers = model.model.language_model.layers
        quantized = {
            module.weight for module in layers.modules() if isinstance(module, torch.nn.Linear)
        }
    sizes = (
        int(value.numel()) * (_NF4_BYTES if value in quantized else each)
        for value in model.parameters()
    )
    return int(sum(sizes))


def check_weights_fit(
    model: ModelConfig, config: Any, weights: str, compute: str, *, limit_bytes: int, device: str
) -> None:
    """Raises KocrError if weights and the device's context alone are over the limit (bytes)."""
    needed = weight_bytes(config, weights, compute) + CONTEXT_BYTES[device]
    if needed > limit_bytes:
        less = "" if weights == "nf4" else 'model.dtype = "nf4", '
        raise KocrError(
            f"{model.path}: its weights take {needed / GIB:.1f} GiB in {weights}, of "
            f"{limit_bytes / GIB:.1f} GiB that the run may use; take {less}a smaller model "
            "or a card with more memory"
        )


def load_model(model: ModelConfig, family: Family, weights: str, compute: str) -> Any:
    """The base model with frozen weights in a number format, on the CPU, in evaluation mode.

    ``weights`` is bf16, fp16, fp32 or nf4; ``compute`` is the format to multiply in. NF4 holds
    the language model's linear layers; tower, embeddings and head are left in ``compute``. Raises
    UsageError if weights can't be had, are missing or don't fit the architecture.
    """
    refuse_pickled(model)
    attention.register()
    options: dict[str, Any] = {}
    if weights == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[compute],
            llm_int8_skip_modules=[family.tower, "visual", "lm_head"],
        )
        options["device_map"] = {"": _here()}
    try:
        loaded, report = AutoModelForImageTextToText.from_pretrained(
            model.path,
            revision=model.revision,
            dtype=DTYPES[compute],
            attn_implementation="sdpa",
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        SafetensorError,
        hub.HfHubHTTPError,
    ) as error:
        raise UsageError(
            f"{model.path}: can't load the weights: {why_not_loaded(error)}"
        ) from error
    if missing := report["missing_keys"]:
        raise UsageError(f"{model.path}: weights are missing, {sorted(missing)[0]} among them")
    if weights == "nf4":
        keep_packing(loaded)
    return make_ready(loaded, family)


def refuse_pickled(model: ModelConfig) -> None:
    """Raises UsageError for a folder that has pickled weights alone: opening them can run code."""
    folder = Path(model.path).expanduser()
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind))
    if pickled:
        raise UsageError(
            f"{pickled[0]}: pickled weights are not opened, since they can run code; "
            "take the model's safetensors files, or convert it"
        )


def keep_packing(model: torch.nn.Module) -> None:
    """Keeps bitsandbytes from packing weights anew for some processors when they only read.

    The other packing has no gradient, and is never undone for training (bitsandbytes 0.50,
    Linear4bit.forward).
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def make_ready(model: Any, family: Family) -> Any:
    """Frozen, in evaluation mode, with attention for packed rows; for loaded and new models."""
    attention.register()
    model.set_attn_implementation(
        {
            "vision_config": attention.TOWER_ATTENTION,
            "text_config": attention.LANGUAGE_ATTENTION,
        }
    )
    if family.deepstack:
        _add_deepstack_by_index(model.model.language_model)
    model.requires_grad_(False)
    return model.eval()


def weight_tensors(model: torch.nn.Module) -> Iterator[Tensor]:
    """All tensors that a model keeps: parameters, buffers, and the scales of 4-bit weights."""
    yield from model.buffers()
    for value in model.parameters():
        yield value
        state = getattr(value, "quant_state", None)
        if state is not None:
            scales = (state, state.state2) if state.nested else (state,)
            yield from (scale for one in scales for scale in (one.absmax, one.code))
            if state.nested:
                yield state.offset


def _add_deepstack_by_index(language_model: Any) -> None:
    """Lets DeepStack features be added at indices: a mask makes the host wait to count it."""
    by_mask = language_model._deepstack_process

    def process(_self: Any, hidden: Tensor, places: Tensor, features: Tensor) -> Tensor:
        if places.dtype == torch.bool:
            stock: Tensor = by_mask(hidden, places, features)
            return stock
        return hidden.index_add(1, places, features.to(hidden.dtype)[None])

    language_model._deepstack_process = MethodType(process, language_model)


def _here() -> str:
    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def why_not_loaded(error: BaseException) -> str:
    """The cause in one line for people, and what to do about it."""
    causes = list(_chain(error))
    for kind, words in _KNOWN:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    numbers = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if errno.ENOSPC in numbers:
        return "the disk is full; free some, or set HF_HOME to a larger disk"
    if errno.EACCES in numbers:
        return "no permission to read or write its files"
    return f"{first_line(error)}; give a model folder or a hub id such as Qwen/Qwen2-VL-2B-Instruct"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_KNOWN: tuple[tuple[type[BaseException], str], ...] = (
    (
        hub.GatedRepoError,
        "the repository is gated; accept its terms on its page, then `hf auth login`",
    ),
    (
        hub.RepositoryNotFoundError,
        "no such repository on the hub, or it is private; see how it is spelt, or `hf auth login`",
    ),
    (hub.RevisionNotFoundError, "the repository has no such revision; see model.revision"),
    (
        hub.LocalEntryNotFoundError,
        "the hub can't be reached and the files aren't in the local cache; give a model folder, "
        "or download it where there is a network",
    ),
    (hub.EntryNotFoundError, "the repository lacks a file that is needed; is it a whole model?"),
)
