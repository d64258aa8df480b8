"""The model families that can be trained; a new one is a small file here and a line below."""

from core.errors import UsageError
from core.model.families.family import Family
from core.model.families.qwen2_5_vl import QWEN2_5_VL
from core.model.families.qwen2_vl import QWEN2_VL
from core.model.families.qwen3_vl import QWEN3_VL

FAMILIES = {family.model_type: family for family in (QWEN2_VL, QWEN2_5_VL, QWEN3_VL)}


def family_of(model_type: str, path: str) -> Family:
    """The family of a model type; raises UsageError with the known ones for any other."""
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UsageError(f"{path}: model type {model_type!r} is not one of: {known}")
    return FAMILIES[model_type]
