"""Qwen2.5-VL (arXiv 2502.13923): most tower layers attend within windows of 112 x 112 pixels."""

from core.data.tokens import PixelGeometry
from core.model.families.family import Family

QWEN2_5_VL = Family(
    model_type="qwen2_5_vl",
    geometry=PixelGeometry(patch=14, merge=2, min_pixels=56 * 56),
    merger=r"merger\.mlp\.[02]",
    tower_linear=r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj)",
    windows=True,
)
