"""The hardest micro-batch that a data set can ask for at a pixel budget."""

from dataclasses import dataclass

import msgspec
import numpy as np

from core.data.dataset import SignRows
from core.data.tokens import PixelGeometry


class Extremes(msgspec.Struct, frozen=True, kw_only=True):
    """What of a data set decides its memory: the photo sizes in it, and its longest texts.

    ``sizes`` are the distinct upright (width, height) in pixels.
    """

    sizes: tuple[tuple[int, int], ...]
    prompt: str
    answer: str


@dataclass(frozen=True)
class WorstPhoto:
    """The photo size (pixels) that becomes the most image tokens at a budget."""

    width: int
    height: int
    image_tokens: int


def find_extremes(train: SignRows, validation: SignRows) -> Extremes:
    """Sizes of both files, and prompt and answer of the row with the most text."""
    sizes = np.unique(np.concatenate([train.sizes, validation.sizes]), axis=0)
    rows = max((train, validation), key=lambda rows: int(rows.text_lengths.max()))
    longest = rows[int(rows.text_lengths.argmax())]
    return Extremes(
        sizes=tuple((int(width), int(height)) for width, height in sizes),
        prompt=longest.prompt,
        answer=longest.answer,
    )


def worst_photo(extremes: Extremes, geometry: PixelGeometry, max_pixels: int) -> WorstPhoto:
    """The size with the most image tokens at a budget."""
    counted = (
        WorstPhoto(width, height, geometry.image_tokens(width, height, max_pixels))
        for width, height in extremes.sizes
    )
    return max(counted, key=lambda photo: photo.image_tokens)


def ceiling_tokens(extremes: Extremes, geometry: PixelGeometry) -> int:
    """Image tokens of the largest photo with no budget at all: nothing is ever scaled up."""
    return max(
        geometry.image_tokens(width, height, 4 * width * height + geometry.pixels_a_token)
        for width, height in extremes.sizes
    )
