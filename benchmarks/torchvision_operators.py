"""Lets a torchvision built for CUDA be imported beside a CPU build of torch.

Its import asks for two compiled operators; resizing and normalising need neither. Imported before
transformers, which imports torchvision wherever that is installed.
"""

import importlib.util

import torch

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def _declare() -> bool:
    """Names the operators if they are missing, and tells whether torchvision is there."""
    found = importlib.util.find_spec("torchvision") is not None
    if found and "+cpu" in torch.__version__:
        for name in ("nms", "qnms"):
            _LIBRARY.define(f"{name}(Tensor x) -> Tensor")
    return found


TORCHVISION = _declare()
