"""How a base model counts photos and texts, from its files alone: no torch, no transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import try_to_load_from_cache
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.data.audit.rows import AuditRow
from core.data.tokens import PixelGeometry
from core.errors import UsageError

_BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_WRAPPED = _BEFORE + "<|vision_start|><|vision_end|>{prompt}<|im_end|>\n<|im_start|>assistant\n"
_SPECIAL_TOKENS = 7


def find_file(model: str, name: str) -> Path | None:
    """A file of a model folder, or of a hub model that was downloaded before."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        found = try_to_load_from_cache(model, name)
    except ValueError as error:
        raise UsageError(f"{model}: no such folder, and no hub id: {error}") from error
    return Path(found) if isinstance(found, str) else None


def geometry_of(model: str) -> PixelGeometry | None:
    """How the model cuts photos, None where its preprocessor_config.json isn't here.

    Raises UsageError if that file can't be understood.
    """
    file = find_file(model, "preprocessor_config.json")
    if file is None:
        return None
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        least = config.get("min_pixels") or config["size"]["shortest_edge"]
        return PixelGeometry(int(config["patch_size"]), int(config["merge_size"]), int(least))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: can't be understood: {error!r}") from error


def text_tokens(rows: Sequence[AuditRow], model: str | None) -> tuple[NDArray[np.int64], bool]:
    """Text tokens of every row (n,), in Qwen's chat format, and whether they are exact.

    Without a tokenizer it is an upper bound: a byte-level tokenizer makes at most a token a byte.
    """
    file = find_file(model, "tokenizer.json") if model else None
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    wrapped = [_WRAPPED.format(prompt=prompt) for prompt in prompts]
    answers = [row.answer for row in rows]
    if file is None:
        before = [_SPECIAL_TOKENS + len(text.encode()) for text in wrapped]
        labels = [len(answer.encode()) + 1 for answer in answers]
    else:
        tokenizer = Tokenizer.from_file(str(file))
        before = [len(each) for each in tokenizer.encode_batch(wrapped, add_special_tokens=False)]
        encoded = tokenizer.encode_batch_fast(answers, add_special_tokens=False)
        labels = [len(each) + 1 for each in encoded]
    of_prompt = dict(zip(prompts, before, strict=True))
    counts = [of_prompt[row.prompt] + label for row, label in zip(rows, labels, strict=True)]
    return np.array(counts, dtype=np.int64), file is not None
