"""How many tokens a photo becomes, and at which positions they stand; known before decoding."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.unusable import UnusableError

MAX_ASPECT_RATIO = 200


@dataclass(frozen=True)
class PixelGeometry:
    """How a model cuts photos: patch edge (pixels), merge (patches an edge), floor (pixels)."""

    patch: int
    merge: int
    min_pixels: int

    @property
    def factor(self) -> int:
        """Edge of one image token in pixels; photo edges are rounded to multiples of it."""
        return self.patch * self.merge

    @property
    def pixels_a_token(self) -> int:
        """Pixels that one image token covers."""
        return self.factor**2

    def grid(self, width: int, height: int, max_pixels: int) -> tuple[int, int]:
        """Rows and columns of image tokens for a photo of ``width`` x ``height`` pixels.

        The rule is Qwen2-VL's smart_resize (transformers, models/qwen2_vl). Raises UnusableError
        for a photo longer than 200 times its breadth, which the model can't take.
        """
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise UnusableError(
                "too-long-for-its-breadth",
                f"{width}x{height}: over {MAX_ASPECT_RATIO} times longer than broad",
            )
        factor = self.factor
        rows, columns = round(height / factor), round(width / factor)
        if rows * columns * factor**2 > max_pixels:
            shrink = math.sqrt(width * height / max_pixels)
            rows = max(1, math.floor(height / shrink / factor))
            columns = max(1, math.floor(width / shrink / factor))
        elif rows * columns * factor**2 < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            rows = math.ceil(height * grow / factor)
            columns = math.ceil(width * grow / factor)
        return rows, columns

    def resized(self, width: int, height: int, max_pixels: int) -> tuple[int, int]:
        """Width and height in pixels that such a photo is resized to at a pixel budget."""
        rows, columns = self.grid(width, height, max_pixels)
        return columns * self.factor, rows * self.factor

    def image_tokens(self, width: int, height: int, max_pixels: int) -> int:
        """Image tokens of a photo of ``width`` x ``height`` pixels at a pixel budget."""
        rows, columns = self.grid(width, height, max_pixels)
        return rows * columns


def mrope_positions(before: int, rows: int, columns: int, after: int) -> NDArray[np.int64]:
    """M-RoPE positions of one sample, shape (3, tokens): time, height and width.

    ``before`` text tokens, an image of ``rows`` x ``columns`` tokens, ``after`` text tokens.
    Source: Qwen2-VL (arXiv 2409.12191), section 2.1, as in transformers' get_rope_index.
    """
    head = np.broadcast_to(np.arange(before), (3, before))
    image = np.stack(
        [
            np.full(rows * columns, before),
            before + np.repeat(np.arange(rows), columns),
            before + np.tile(np.arange(columns), rows),
        ]
    )
    start = before + max(rows, columns)
    tail = np.broadcast_to(np.arange(start, start + after), (3, after))
    return np.concatenate([head, image, tail], axis=1).astype(np.int64)
