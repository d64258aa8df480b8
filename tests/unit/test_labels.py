"""The label tokens of a sample are its answer and the end of the turn, whatever the answer is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from sign_rows import PROMPT
from tokenizers import normalizers

from core.config import ModelConfig
from core.data.collate import collate
from core.data.schemas import check_text, clean
from core.data.unusable import UnusableError
from core.model.families import QWEN2_VL
from core.model.processing import Processing, load_processing

BUDGET = 16 * 784
NAMES = [
    "마왕족발",
    "원마트 (ONE MART)",
    "café",
    "👍🏽",
    "a  b",
    "\u200b가",
    "서울식당 02-123-4567",
]
answers = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), max_size=12),
    st.sampled_from(NAMES),
)


@pytest.fixture
def processing(tiny_model_folder: Path) -> Processing:
    return load_processing(ModelConfig(path=str(tiny_model_folder)), QWEN2_VL)


@pytest.fixture(scope="module")
def shared_processing(tiny_model_folder: Path) -> Processing:
    return load_processing(ModelConfig(path=str(tiny_model_folder)), QWEN2_VL)


@settings(max_examples=400)
@given(st.lists(answers, min_size=1, max_size=3))
def test_unmasked_tokens_are_the_answer_and_the_end_of_the_turn(
    shared_processing: Processing, drawn: list[str]
) -> None:
    cleaned = [clean(answer) for answer in drawn]
    try:
        for answer in cleaned:
            check_text(PROMPT, answer)
    except UnusableError:
        assume(False)
    encoder = shared_processing.encoder(BUDGET)
    photo = Image.new("RGB", (60, 90))
    batch = collate([encoder.encode(photo, PROMPT, answer) for answer in cleaned], 0)
    tokens = batch.input_ids.ravel()
    assert np.array_equal(tokens[batch.label_index + 1], batch.labels)
    decoded = shared_processing.text.tokenizer.decode(batch.labels.tolist())
    assert decoded == "".join(answer + "<|im_end|>" for answer in cleaned)
    assert (tokens[batch.image_index] == encoder.image_token_id).all()
    assert (tokens == encoder.image_token_id).sum() == len(batch.image_index)


def test_an_answer_that_the_tokenizer_cannot_write_is_refused(processing: Processing) -> None:
    processing.text.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    encoder = processing.encoder(BUDGET)
    photo = Image.new("RGB", (60, 60))
    assert encoder.encode(photo, PROMPT, "one mart").label_tokens > 1
    with pytest.raises(UnusableError, match="writes the answer 'ONE MART' as 'one mart") as refused:
        encoder.encode(photo, PROMPT, "ONE MART")
    assert refused.value.reason == "tokenizer-cannot-write"
