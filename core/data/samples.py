"""One row as the model takes it: token ids, patches, positions and label positions."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.boundary import refuse_outside
from core.data.feature_store import FeatureStore, PhotoKey
from core.data.images import Resample, read_photo
from core.data.patches import cut
from core.data.schemas import Row
from core.data.tokens import PixelGeometry, mrope_positions
from core.data.unusable import UnusableError


class TextEncoder(Protocol):
    """What is needed of a tokenizer: chat texts to token ids."""

    def prompt_ids(self, prompt: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image, up to where the answer starts."""

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids that decode to exactly the answer and the token that ends it.

        Raises UnusableError if the tokenizer can't write the answer.
        """


@dataclass(frozen=True)
class Sample:
    """One photo with its texts as token ids.

    ``token_ids`` (t,), ``positions`` (3, t) for M-RoPE, ``image_start`` and ``image_tokens`` the
    place of the photo, ``patches`` (p, bytes) and ``grid`` patches (1, rows, columns),
    ``label_tokens`` the number of tokens at the end that carry a label (0 for a prompt alone).
    Where ``features`` (image tokens, bytes) are cached there are no patches; where they should be
    cached once they are computed, ``photo`` says under what.
    """

    token_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    image_start: int
    image_tokens: int
    patches: NDArray[np.uint8]
    grid: tuple[int, int, int]
    label_tokens: int
    features: NDArray[np.uint8] | None = None
    photo: PhotoKey | None = None

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class SampleEncoder:
    """Turns photos and texts into samples at a pixel budget, with features where they're cached."""

    text: TextEncoder
    geometry: PixelGeometry
    image_token_id: int
    max_pixels: int
    resample: Resample
    features: FeatureStore | None = None

    def read(self, row: Row, size: tuple[int, int], *, with_answer: bool) -> Sample:
        """The sample of a row, or its prompt alone to generate from.

        ``size`` is the upright width and height (pixels) that the memory was planned for. Raises
        UnusableError if the photo isn't of that size any more, can't be decoded, or leads out of
        the row's root by now.
        """

        def fit(width: int, height: int) -> tuple[int, int]:
            if (width, height) != size:
                was = f"{size[0]}x{size[1]}"
                raise UnusableError(
                    "photo-changed", f"the photo was {was} and is {width}x{height} now"
                )
            return self.geometry.resized(width, height, self.max_pixels)

        refuse_outside(row.image, row.root)
        answer = row.answer if with_answer else None
        key = self.features.key(row.image) if self.features is not None else None
        if self.features is not None and key is not None:
            rows, columns = self.geometry.grid(*size, self.max_pixels)
            cached = self.features.get(key, rows * columns)
            if cached is not None:
                nothing = np.zeros((0, 3 * self.geometry.patch**2), np.uint8)
                return self._sample(rows, columns, nothing, row.prompt, answer, features=cached)
        image = read_photo(row.image, fit, self.resample, row.root)
        return self._of_image(image, row.prompt, answer, photo=key)

    def encode(self, image: Image.Image, prompt: str, answer: str | None) -> Sample:
        """A sample of an RGB photo in memory, or a prompt where ``answer`` is None."""
        size = self.geometry.resized(*image.size, self.max_pixels)
        resized = self.resample(image, size) if size != image.size else image
        return self._of_image(resized, prompt, answer)

    def _of_image(
        self, image: Image.Image, prompt: str, answer: str | None, photo: PhotoKey | None = None
    ) -> Sample:
        columns, rows = (edge // self.geometry.factor for edge in image.size)
        return self._sample(rows, columns, cut(image, self.geometry), prompt, answer, photo=photo)

    def _sample(
        self,
        rows: int,
        columns: int,
        patches: NDArray[np.uint8],
        prompt: str,
        answer: str | None,
        **cache: Any,
    ) -> Sample:
        """The token count follows from the photo's grid, so nothing is ever cut."""
        merge = self.geometry.merge
        before, after = self.text.prompt_ids(prompt)
        labels = self.text.answer_ids(answer) if answer is not None else []
        ids = [*before, *[self.image_token_id] * (rows * columns), *after, *labels]
        return Sample(
            token_ids=np.array(ids, dtype=np.int64),
            positions=mrope_positions(len(before), rows, columns, len(after) + len(labels)),
            image_start=len(before),
            image_tokens=rows * columns,
            patches=patches,
            grid=(1, rows * merge, columns * merge),
            label_tokens=len(labels),
            **cache,
        )
