"""Our token counts and positions against transformers' own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from core.data.patches import cut
from core.data.tokens import PixelGeometry, mrope_positions
from core.data.unusable import UnusableError
from core.model.pixels import PixelValues

edges = st.integers(1, 4000)


# Qwen2-VL, Qwen2.5-VL and Qwen3-VL: patch edge, merge and the processor's least pixels.
FAMILIES = {
    "qwen2_vl": PixelGeometry(14, 2, 56 * 56),
    "qwen2_5_vl": PixelGeometry(14, 2, 56 * 56),
    "qwen3_vl": PixelGeometry(16, 2, 65536),
}
families = st.sampled_from(sorted(FAMILIES))


@settings(max_examples=1000)
@given(edges, edges, st.integers(64, 16384), families)
def test_grid_is_smart_resize(width: int, height: int, tokens: int, family: str) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    geometry = FAMILIES[family]
    budget = tokens * geometry.pixels_a_token
    tall, wide = smart_resize(
        height,
        width,
        factor=geometry.factor,
        min_pixels=geometry.min_pixels,
        max_pixels=budget,
    )
    rows, columns = geometry.grid(width, height, budget)
    assert (rows * geometry.factor, columns * geometry.factor) == (tall, wide)
    assert geometry.resized(width, height, budget) == (wide, tall)


@settings(max_examples=60)
@given(st.integers(20, 700), st.integers(20, 700), st.integers(64, 400), families)
def test_tokens_and_patches_are_the_processors(
    width: int, height: int, tokens: int, family: str
) -> None:
    geometry = FAMILIES[family]
    budget = tokens * geometry.pixels_a_token
    processor = Qwen2VLImageProcessorPil(patch_size=geometry.patch, merge_size=geometry.merge)
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    photo = Image.fromarray(noise)
    stock = processor(
        images=[photo],
        size={"shortest_edge": geometry.min_pixels, "longest_edge": budget},
        return_tensors="pt",
    )
    size = geometry.resized(width, height, budget)
    patches = torch.from_numpy(cut(photo.resize(size, Image.Resampling.BICUBIC), geometry))
    _time, rows, columns = stock["image_grid_thw"][0].tolist()
    assert geometry.image_tokens(width, height, budget) == rows * columns // 4
    assert torch.equal(PixelValues.of(processor)(patches, torch.float32), stock["pixel_values"])


@given(edges, edges, st.integers(16, 4096))
def test_a_budget_is_never_exceeded(width: int, height: int, tokens: int) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    geometry = PixelGeometry(14, 2, 56 * 56)
    # Photos longer than the budget has cells in a row keep one row, whatever the budget.
    assume(max(width, height) <= tokens * min(width, height))
    assert geometry.image_tokens(width, height, tokens * 784) <= tokens


def test_a_photo_of_one_line_is_refused() -> None:
    with pytest.raises(UnusableError, match="5000x1"):
        PixelGeometry(14, 2, 3136).grid(5000, 1, 784)


@pytest.fixture(scope="module")
def stock(tiny_model_folder: Path) -> Qwen2VLForConditionalGeneration:
    config = AutoConfig.from_pretrained(tiny_model_folder)
    return Qwen2VLForConditionalGeneration(config)


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 12), st.integers(1, 30))
def test_positions_are_get_rope_index(
    stock: Qwen2VLForConditionalGeneration, before: int, rows: int, columns: int, after: int
) -> None:
    types = [0] * before + [1] * (rows * columns) + [0] * after
    expected, _delta = stock.model.get_rope_index(
        torch.zeros(1, len(types), dtype=torch.long),
        torch.tensor([types]),
        image_grid_thw=torch.tensor([[1, rows * 2, columns * 2]]),
    )
    ours = mrope_positions(before, rows, columns, after)
    assert np.array_equal(ours, expected[:, 0].numpy())
