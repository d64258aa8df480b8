"""Our token counts and positions against transformers' own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from core.data.tokens import PixelGeometry, mrope_positions
from core.errors import UsageError

edges = st.integers(1, 4000)


@settings(max_examples=500)
@given(edges, edges, st.integers(4, 16384), st.sampled_from([(14, 2), (16, 2), (14, 1)]))
def test_grid_is_smart_resize(width: int, height: int, tokens: int, patch: tuple[int, int]) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    geometry = PixelGeometry(*patch, min_pixels=56 * 56)
    budget = tokens * geometry.pixels_a_token
    tall, wide = smart_resize(
        height, width, factor=geometry.factor, min_pixels=56 * 56, max_pixels=budget
    )
    rows, columns = geometry.grid(width, height, budget)
    assert (rows * geometry.factor, columns * geometry.factor) == (tall, wide)


@given(edges, edges, st.integers(16, 4096))
def test_a_budget_is_never_exceeded(width: int, height: int, tokens: int) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    geometry = PixelGeometry(14, 2, 56 * 56)
    # Photos longer than the budget has cells in a row keep one row, whatever the budget.
    assume(max(width, height) <= tokens * min(width, height))
    assert geometry.image_tokens(width, height, tokens * 784) <= tokens


def test_a_photo_of_one_line_is_refused() -> None:
    with pytest.raises(UsageError, match="5000x1"):
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
