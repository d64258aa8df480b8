"""Qwen2-VL (arXiv 2409.12191): attention over the whole photo in every tower layer."""

from core.data.tokens import PixelGeometry
from core.model.families.family import Family

QWEN2_VL = Family(
    model_type="qwen2_vl",
    geometry=PixelGeometry(patch=14, merge=2, min_pixels=56 * 56),
    merger=r"merger\.mlp\.[02]",
    tower_linear=r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])",
)
