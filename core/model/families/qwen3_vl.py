"""Qwen3-VL, dense (arXiv 2511.21631): learned positions, and DeepStack (arXiv 2406.04334)."""

from core.data.tokens import PixelGeometry
from core.model.families.family import Family

QWEN3_VL = Family(
    model_type="qwen3_vl",
    geometry=PixelGeometry(patch=16, merge=2, min_pixels=256 * 256),
    merger=r"(merger|deepstack_merger_list\.\d+)\.linear_fc[12]",
    tower_linear=r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.linear_fc[12])",
    interpolates=True,
    deepstack=True,
)
