"""One row as the model takes it: token ids, patches, positions and label positions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.tokens import PixelGeometry, mrope_positions


class TextEncoder(Protocol):
    """What is needed of a tokenizer: chat texts to token ids."""

    def prompt_ids(self, prompt: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image, up to where the answer starts."""

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of the answer and the token that ends it."""


class PatchEncoder(Protocol):
    """What is needed of an image processor: an RGB photo to patches."""

    geometry: PixelGeometry

    def patches(self, image: Image.Image, max_pixels: int) -> tuple[NDArray[np.float32], int, int]:
        """Patches (n, values), and the grid in patches: rows and columns."""


@dataclass(frozen=True)
class Sample:
    """One photo with its texts as token ids.

    ``token_ids`` (t,), ``positions`` (3, t) for M-RoPE, ``image_start`` and ``image_tokens`` the
    place of the photo, ``patches`` (p, values) and ``grid`` patches (1, rows, columns),
    ``label_tokens`` the number of tokens at the end that carry a label (0 for a prompt alone).
    """

    token_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    image_start: int
    image_tokens: int
    patches: NDArray[np.float32]
    grid: tuple[int, int, int]
    label_tokens: int

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class SampleEncoder:
    """Turns photos and texts into samples at a pixel budget."""

    text: TextEncoder
    vision: PatchEncoder
    image_token_id: int
    max_pixels: int

    def encode(self, image: Image.Image, prompt: str, answer: str | None) -> Sample:
        """A training sample, or a prompt to generate from where ``answer`` is None.

        The photo's token count follows from its grid, so nothing is ever cut.
        """
        patches, patch_rows, patch_columns = self.vision.patches(image, self.max_pixels)
        merge = self.vision.geometry.merge
        rows, columns = patch_rows // merge, patch_columns // merge
        before, after = self.text.prompt_ids(prompt)
        labels = self.text.answer_ids(answer) if answer is not None else []
        ids = [*before, *[self.image_token_id] * (rows * columns), *after, *labels]
        return Sample(
            token_ids=np.array(ids, dtype=np.int64),
            positions=mrope_positions(len(before), rows, columns, len(after) + len(labels)),
            image_start=len(before),
            image_tokens=rows * columns,
            patches=patches,
            grid=(1, patch_rows, patch_columns),
            label_tokens=len(labels),
        )
