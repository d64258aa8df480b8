"""What differs from one model family to the next. No torch here: audits and plans read it too."""

import re
from dataclasses import dataclass

from core.config import Targets
from core.data.tokens import PixelGeometry

_ATTENTION = r"self_attn\.(q|k|v|o)_proj"
_MLP = r"mlp\.(gate|up|down)_proj"


@dataclass(frozen=True)
class Family:
    """Names and shapes inside one family's model.

    ``tower`` and ``language`` are module paths below the ForConditionalGeneration class; ``merger``
    and ``tower_linear`` are patterns of the linear layers below ``tower`` that merge patches into
    image tokens, and of all others. ``image_token`` stands for one merged patch, ``turn_end`` ends
    an answer. ``geometry`` is that of the published image processors.

    In all families a photo's tokens have M-RoPE positions (time, height, width), which start anew
    with every sample of a packed row. ``windows`` says that most tower layers attend within
    windows of a photo, ``interpolates`` that the tower has learned positions to interpolate, and
    ``deepstack`` that features of some tower layers are added to the first language layers, so
    that an image token has several planes of features instead of one.
    """

    model_type: str
    geometry: PixelGeometry
    merger: str
    tower_linear: str
    tower: str = "model.visual"
    language: str = "model.language_model"
    image_token: str = "<|image_pad|>"
    turn_end: str = "<|im_end|>"
    windows: bool = False
    interpolates: bool = False
    deepstack: bool = False

    def lora_pattern(self, targets: Targets) -> str:
        """A pattern for whole module names, as peft's ``target_modules`` takes it."""
        linear = _ATTENTION if targets == "attention" else f"({_ATTENTION}|{_MLP})"
        patterns = [rf"{re.escape(self.language)}\.layers\.\d+\.{linear}"]
        if targets in ("language+merger", "all"):
            patterns.append(rf"{re.escape(self.tower)}\.{self.merger}")
        if targets == "all":
            patterns.append(rf"{re.escape(self.tower)}\.{self.tower_linear}")
        return "|".join(patterns)


def trains_vision(targets: Targets) -> bool:
    """Whether image features change in training, and so need a graph and can't be cached."""
    return targets in ("language+merger", "all")
