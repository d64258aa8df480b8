"""What differs from one model family to the next; adding a family is adding an entry."""

from dataclasses import dataclass

from core.config import Targets
from core.errors import UsageError

_ATTENTION = r"self_attn\.(q|k|v|o)_proj"
_MLP = r"mlp\.(gate|up|down)_proj"


@dataclass(frozen=True)
class Family:
    """Names inside a family's model, and its default budget floor.

    ``tower`` and ``language`` are module paths below the ForConditionalGeneration class;
    ``image_token`` stands for one merged patch, ``turn_end`` ends an answer.
    """

    model_type: str
    tower: str
    language: str
    image_token: str
    turn_end: str

    def lora_pattern(self, targets: Targets) -> str:
        """A pattern for whole module names, as peft's ``target_modules`` takes it."""
        linear = _ATTENTION if targets == "attention" else f"({_ATTENTION}|{_MLP})"
        return rf"{self.language.replace('.', chr(92) + '.')}\.layers\.\d+\.{linear}"


QWEN2_VL = Family(
    model_type="qwen2_vl",
    tower="model.visual",
    language="model.language_model",
    image_token="<|image_pad|>",
    turn_end="<|im_end|>",
)

FAMILIES = {family.model_type: family for family in (QWEN2_VL,)}


def family_of(model_type: str, path: str) -> Family:
    """The family of a model type; raises UsageError with the known ones for any other."""
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UsageError(f"{path}: model type {model_type!r} is not one of: {known}")
    return FAMILIES[model_type]
