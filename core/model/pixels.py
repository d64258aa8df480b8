"""From bytes to the values that a vision tower takes, on the device."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class PixelValues:
    """The image processor's normalisation: ``value = (byte / levels - mean) / std`` a channel.

    ``frames`` is how often the tower wants a still picture repeated in time.
    """

    levels: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    frames: int

    @classmethod
    def of(cls, image_processor: Any) -> Self:
        """As a transformers image processor is configured."""
        return cls(
            levels=1 / image_processor.rescale_factor,
            mean=tuple(image_processor.image_mean),
            std=tuple(image_processor.image_std),
            frames=image_processor.temporal_patch_size,
        )

    def __call__(self, patches: Tensor, dtype: torch.dtype) -> Tensor:
        """Bytes (patches, 3 * area) to values (patches, 3 * frames * area).

        The operations are the stock processor's in its order and in fp32, so the values are too.
        """
        channels = len(self.mean)
        values = patches.float().view(len(patches), channels, -1)
        values.div_(self.levels)
        values.sub_(values.new_tensor(self.mean)[:, None])
        values.div_(values.new_tensor(self.std)[:, None])
        repeated = values.to(dtype)[:, :, None].expand(-1, -1, self.frames, -1)
        return repeated.reshape(len(patches), -1)
