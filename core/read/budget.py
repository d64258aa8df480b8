"""The pixel budget of models that no run is known of."""

import contextlib
import json
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

# The upper bound of Qwen2-VL's own examples: 1,280 image tokens of 28 x 28 pixels.
DEFAULT_PIXELS = 1280 * 28 * 28
# What the published models are bounded by, which is no budget: it lets 12-megapixel photos through.
_PUBLISHED = 12_845_056


def own_budget(path: str, revision: str | None = None) -> int | None:
    """The most pixels that a model or adapter, a folder or hub id, wants of a photo.

    Exports write the budget they were trained at into preprocessor_config.json. None where that is
    missing or unreadable, and where it bounds no more than the published models' does.
    """
    found: Any = None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        file = cached_file(path, "preprocessor_config.json", revision=revision)
        found = json.loads(Path(file).read_bytes())
    size = found.get("size") if isinstance(found, dict) else None
    most = size.get("longest_edge") if isinstance(size, dict) else None
    return most if isinstance(most, int) and 0 < most < _PUBLISHED else None
