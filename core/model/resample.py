"""Resizing photos by torch's integer kernels, about five times as fast as Pillow's."""

import numpy as np
import torch
from PIL import Image
from torch.nn import functional


def bicubic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image resized to ``size`` (width and height in pixels), antialiased.

    It is what torchvision-backed image processors do. On photos it stays within two of 255 levels
    of Pillow's own (a test holds that).
    """
    width, height = size
    # A height x width x channels array is a channels-last tensor as it is, which the kernels want.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    resized = functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    return Image.fromarray(resized[0].permute(1, 2, 0).contiguous().numpy(), image.mode)
