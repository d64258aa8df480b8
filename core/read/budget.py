"""The pixel budget of models that no run is known of."""

import contextlib
import json
from pathlib import Path
from typing import Any

# The upper bound of Qwen2-VL's own examples: 1,280 image tokens of 28 x 28 pixels.
DEFAULT_PIXELS = 1280 * 28 * 28
FILE = "preprocessor_config.json"
# What an export of ours puts into that file beside the model's own keys.
MARK = "kocr_tui"


def exported_pixels(folder: Path) -> int | None:
    """The budget (pixels an image) that an export wrote into a folder, None where it wasn't ours.

    The published models' own files allow a whole 12-megapixel photo, which is no budget.
    """
    found: Any = None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads((folder / FILE).read_bytes())
    if not isinstance(found, dict) or not isinstance(mark := found.get(MARK), dict):
        return None
    pixels = mark.get("max_pixels")
    return pixels if isinstance(pixels, int) and pixels > 0 else None
