"""A photo's pixels cut into the patches that a vision tower takes, still as bytes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.tokens import PixelGeometry

Bytes = NDArray[np.uint8]


def cut(image: Image.Image, geometry: PixelGeometry) -> Bytes:
    """Patches of an RGB image whose edges are multiples of the geometry's factor.

    Shape (patches, 3 * patch * patch), the patches of one image token side by side, as in
    transformers' Qwen2VLImageProcessorPil.patchify. Bytes rather than normalised floats, and the
    one frame rather than two the same: an eighth of what a worker would have to hand over.
    """
    merge, patch = geometry.merge, geometry.patch
    pixels = np.asarray(image)
    rows, columns = pixels.shape[0] // geometry.factor, pixels.shape[1] // geometry.factor
    split = pixels.reshape(rows, merge, patch, columns, merge, patch, 3)
    together = split.transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(together).reshape(rows * columns * merge**2, 3 * patch**2)
