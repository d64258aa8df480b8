"""Generating replies: a batch writes what each photo gets alone, as the stock model does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sign_rows import PROMPT
from training import ANSWERS, BUDGET, Bench, photo, stir
from transformers import GenerationConfig

from core.config import LoraConfig
from core.data.samples import Sample
from core.evaluate.generate import SignReader
from core.hardware.device import CpuDevice
from core.model.families import FAMILIES
from core.model.load import load_model
from core.model.lora import add_adapter
from core.model.patch_embedding import multiply_patches
from core.model.processing import Processing

NEW_TOKENS = 10


@pytest.fixture(scope="module", params=list(FAMILIES))
def bench(request: pytest.FixtureRequest, tiny_families: dict[str, Path]) -> Bench:
    return Bench.of(tiny_families[request.param])


def prompts(bench: Bench) -> list[Sample]:
    """Photos of several sizes, so that all but the longest are padded on the left."""
    encoder = bench.processing.encoder(BUDGET)
    made = [encoder.encode(photo(size, 9), PROMPT, None) for _answer, size in ANSWERS]
    assert len({len(sample) for sample in made}) > 2
    return made


def reader_of(bench: Bench, processing: Processing | None = None) -> SignReader:
    base = load_model(bench.model, bench.family, "fp32", "fp32")
    adapted = add_adapter(base, bench.family, LoraConfig(rank=4), seed=0)
    stir(adapted)
    multiply_patches(base)
    return SignReader(
        base,
        processing or bench.processing,
        CpuDevice(2**33, 2**33),
        max_pixels=BUDGET,
        max_new_tokens=NEW_TOKENS,
    )


def stock_tokens(bench: Bench, sample: Sample, ends: list[int]) -> tuple[int, ...]:
    """What transformers' own model writes to one prompt by itself."""
    ids = torch.from_numpy(sample.token_ids)[None]
    types = torch.zeros_like(ids)
    types[0, sample.image_start : sample.image_start + sample.image_tokens] = 1
    written = (
        bench.stock()
        .eval()
        .generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=types,
            pixel_values=bench.processing.pixels(torch.from_numpy(sample.patches), torch.float32),
            image_grid_thw=torch.tensor([sample.grid]),
            generation_config=GenerationConfig(
                do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=ends, pad_token_id=ends[0]
            ),
        )
    )
    return tuple(written[0, ids.shape[1] :].tolist())


def test_a_batch_writes_the_stock_models_tokens_whatever_stands_beside_them(bench: Bench) -> None:
    asked = prompts(bench)
    free = [written.token_ids for written in reader_of(bench).generate(asked)]
    # A token that some replies have early ends them there, while the others go on.
    early = {token for reply in free for token in reply[:-2]}
    end = min(token for token in early if not all(token in reply for reply in free))
    processing = replace(bench.processing, pad_token_id=end)
    reader = reader_of(bench, processing)
    together = reader.generate(asked)
    assert together == [reader.generate([sample])[0] for sample in asked]
    ends = [processing.turn_end_id, end]
    assert [one.token_ids for one in together] == [stock_tokens(bench, s, ends) for s in asked]
    assert {one.cut for one in together} == {True, False}
    for one in together:
        assert one.cut == (one.token_ids[-1] != end)
        assert one.text == bench.processing.decode([list(one.token_ids)])[0]


def test_patches_are_embedded_as_by_the_convolution(bench: Bench) -> None:
    model = load_model(bench.model, bench.family, "fp32", "fp32")
    patches = torch.from_numpy(np.concatenate([sample.patches for sample in prompts(bench)]))
    values = bench.processing.pixels(patches, torch.float32)
    expected = model.model.visual.patch_embed(values)
    multiply_patches(model)
    assert torch.allclose(model.model.visual.patch_embed(values), expected, rtol=1e-5, atol=1e-5)


def test_the_models_own_generation_settings_change_nothing(bench: Bench, tmp_path: Path) -> None:
    expected = reader_of(bench).generate(prompts(bench))
    own = Path(shutil.copytree(bench.folder, tmp_path / "own"))
    file = own / "generation_config.json"
    settings = json.loads(file.read_text()) if file.exists() else {}
    settings |= {"repetition_penalty": 5.0, "no_repeat_ngram_size": 2, "num_beams": 2}
    file.write_text(json.dumps(settings | {"do_sample": True, "temperature": 0.1, "top_k": 1}))
    assert reader_of(Bench.of(own)).generate(prompts(bench)) == expected
