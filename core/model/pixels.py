"""From bytes to the values that a vision tower takes, on the device."""

from dataclasses import dataclass
from functools import lru_cache
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
        values = patches.float().view(len(patches), len(self.mean), -1)
        values.div_(self.levels)
        values.sub_(self.column(self.mean, patches.device))
        values.div_(self.column(self.std, patches.device))
        repeated = values.to(dtype)[:, :, None].expand(-1, -1, self.frames, -1)
        return repeated.reshape(len(patches), -1)

    def column(self, values: tuple[float, ...], device: torch.device) -> Tensor:
        """A value a channel, down a column, on the device."""
        return _column(values, device)


@lru_cache(maxsize=8)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Remembered, because bringing the values over makes the host wait."""
    return torch.tensor(values, device=device)[:, None]
