"""Samples as shapes: what a photo and its texts weigh, without photo and texts."""

from dataclasses import dataclass

import numpy as np

from core.data.samples import Sample
from core.data.tokens import PixelGeometry, mrope_positions


@dataclass(frozen=True)
class TextTokens:
    """Tokens of a sample's text: before the photo, after it, and of the answer with its end."""

    before: int
    after: int
    answer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.before + self.after + self.answer


@dataclass(frozen=True)
class BlankSamples:
    """Samples without content, from the sizes of photos (pixels) alone."""

    geometry: PixelGeometry
    text: TextTokens
    max_pixels: int

    def sample(self, width: int, height: int, *, with_answer: bool = True) -> Sample:
        """A sample of a photo of ``width`` x ``height`` pixels, or its prompt alone."""
        rows, columns = self.geometry.grid(width, height, self.max_pixels)
        merge, answer = self.geometry.merge, self.text.answer if with_answer else 0
        tokens = self.text.before + rows * columns + self.text.after + answer
        patches = rows * columns * merge**2
        return Sample(
            token_ids=np.zeros(tokens, dtype=np.int64),
            positions=mrope_positions(self.text.before, rows, columns, self.text.after + answer),
            image_start=self.text.before,
            image_tokens=rows * columns,
            patches=np.zeros((patches, 3 * self.geometry.patch**2), dtype=np.uint8),
            grid=(1, rows * merge, columns * merge),
            label_tokens=answer,
        )
