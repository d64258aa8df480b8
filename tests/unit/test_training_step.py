"""The training step against the stock model, and the counting of live bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sign_rows import PROMPT
from transformers import AutoImageProcessor

from core.config import LoraConfig, ModelConfig, TrainConfig
from core.data.collate import collate
from core.data.samples import Sample
from core.data.tokens import PixelGeometry
from core.demo.scenes import photo_sign
from core.demo.signboards import draw_name, sign_lines
from core.evaluate.generate import SignReader
from core.hardware.device import CpuDevice
from core.hardware.live_bytes import LiveBytes
from core.model.families import QWEN2_VL
from core.model.lora import trainable_parameters
from core.model.processing import Processing, load_processing
from core.model.resample import bicubic
from core.model.step import TensorBatch
from core.train.loader import MicroBatch
from core.train.setup import Trainable, build
from core.train.step import run_step

BUDGET = 40 * 784
ANSWERS = [("마왕족발", (200, 140)), ("원마트 (ONE MART)", (130, 260)), ("A", (84, 84))]


@pytest.fixture(scope="module")
def processing(tiny_model_folder: Path) -> Processing:
    return load_processing(ModelConfig(path=str(tiny_model_folder)), QWEN2_VL)


@pytest.fixture
def trainable(tiny_model_folder: Path) -> Trainable:
    return make_trainable(tiny_model_folder, CpuDevice(2**33, 2**33))


def make_trainable(folder: Path, device: CpuDevice) -> Trainable:
    model = ModelConfig(path=str(folder))
    pixels = load_processing(model, QWEN2_VL).pixels
    made = build(model, "fp32", QWEN2_VL, pixels, LoraConfig(rank=4), TrainConfig(seed=3), device)
    with torch.no_grad():
        for name, value in made.parameters:
            if "lora_B" in name:
                value.normal_(std=0.05, generator=torch.Generator().manual_seed(len(name)))
    return made


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def make_samples(processing: Processing) -> list[Sample]:
    encoder = processing.encoder(BUDGET)
    return [
        encoder.encode(photo(size, seed), PROMPT, answer)
        for seed, (answer, size) in enumerate(ANSWERS)
    ]


def micro_batch(samples: list[Sample], pad: int) -> MicroBatch:
    return MicroBatch.of(samples, pad)


def stock_values(folder: Path, size: tuple[int, int], seed: int) -> torch.Tensor:
    """What transformers' own image processor makes of a photo of the budget's size."""
    resized = bicubic(photo(size, seed), PixelGeometry(14, 2, 56 * 56).resized(*size, BUDGET))
    processor = AutoImageProcessor.from_pretrained(folder)
    values: torch.Tensor = processor(images=[resized], return_tensors="pt")["pixel_values"]
    return values


def stock_loss(
    trainable: Trainable, folder: Path, samples: list[Sample]
) -> tuple[torch.Tensor, int]:
    """The stock model's own loss, one sample at a time, summed over label tokens."""
    total, count = torch.zeros(()), 0
    for seed, ((_answer, size), sample) in enumerate(zip(ANSWERS, samples, strict=True)):
        ids = torch.from_numpy(sample.token_ids)[None]
        labels = torch.full_like(ids, -100)
        labels[0, len(sample) - sample.label_tokens :] = ids[0, len(sample) - sample.label_tokens :]
        types = torch.zeros_like(ids)
        types[0, sample.image_start : sample.image_start + sample.image_tokens] = 1
        loss = trainable.base(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=stock_values(folder, size, seed),
            image_grid_thw=torch.tensor([sample.grid]),
            mm_token_type_ids=types,
            labels=labels,
        ).loss
        total = total + loss * sample.label_tokens
        count += sample.label_tokens
    return total, count


def gradients(trainable: Trainable) -> dict[str, torch.Tensor]:
    return {name: value.grad.clone() for name, value in trainable.parameters}  # type: ignore[union-attr]


def test_labels_are_the_answer_and_the_end_of_the_turn(processing: Processing) -> None:
    for (answer, _size), sample in zip(ANSWERS, make_samples(processing), strict=True):
        labels = sample.token_ids[-sample.label_tokens :].tolist()
        assert processing.text.tokenizer.decode(labels) == answer + "<|im_end|>"
        assert sample.image_tokens == int((sample.token_ids == processing.image_token_id).sum())


def test_prompt_and_answer_are_the_chat_templates_own(processing: Processing) -> None:
    [sample, *_] = make_samples(processing)
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": [{"type": "text", "text": "마왕족발"}]},
    ]
    tokenizer = processing.text.tokenizer
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    expected = text.replace("<|image_pad|>", "<|image_pad|>" * sample.image_tokens)
    assert tokenizer.decode(sample.token_ids.tolist()) + "\n" == expected


def test_loss_and_gradients_equal_the_stock_models(
    trainable: Trainable, processing: Processing, tiny_model_folder: Path
) -> None:
    samples = make_samples(processing)
    total, count = stock_loss(trainable, tiny_model_folder, samples)
    (total / count).backward()  # type: ignore[no-untyped-call]
    expected = gradients(trainable)
    trainable.optimizer.zero_grad()

    micro = micro_batch(samples, processing.pad_token_id)
    features = trainable.forward.image_features(micro.batch)
    loss = trainable.step_forward(micro.batch, features) / count
    loss.backward()
    assert not features.requires_grad
    torch.testing.assert_close(loss, total / count, rtol=1e-5, atol=0)
    for name, gradient in gradients(trainable).items():
        scale = expected[name].abs().max()
        assert scale > 0
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5 * scale.item())


def test_the_split_into_micro_batches_does_not_change_the_step(
    tiny_model_folder: Path, processing: Processing
) -> None:
    samples = make_samples(processing)
    pad = processing.pad_token_id
    splits = [[samples], [samples[:1], samples[1:]], [[sample] for sample in samples]]
    results = []
    for split in splits:
        trainable = make_trainable(tiny_model_folder, CpuDevice(2**33, 2**33))
        outcome = run_step(
            trainable,
            [micro_batch(part, pad) for part in split],
            seed=0,
            learning_rate=1e-3,
            max_grad_norm=1.0,
        )
        results.append((outcome.loss.item(), float(outcome.grad_norm)))
    for loss, norm in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        assert norm == pytest.approx(results[0][1], rel=1e-4)


def test_pixel_values_are_the_stock_processors_to_the_bit(
    processing: Processing, tiny_model_folder: Path
) -> None:
    for seed, ((_answer, size), sample) in enumerate(
        zip(ANSWERS, make_samples(processing), strict=True)
    ):
        ours = processing.pixels(torch.from_numpy(sample.patches), torch.float32)
        assert torch.equal(ours, stock_values(tiny_model_folder, size, seed))


@pytest.mark.parametrize("budget", [16 * 784, 200 * 784, 1280 * 784])
@pytest.mark.parametrize("size", [(200, 140), (641, 480), (1512, 2016)])
def test_photos_are_resized_as_pillow_does(size: tuple[int, int], budget: int) -> None:
    rng = np.random.default_rng(1)
    sign = photo_sign(sign_lines(draw_name("train", rng), rng), (320, 240), rng).image.resize(size)
    target = PixelGeometry(14, 2, 56 * 56).resized(*size, budget)
    ours = np.asarray(bicubic(sign, target), dtype=int)
    theirs = np.asarray(sign.resize(target, Image.Resampling.BICUBIC), dtype=int)
    assert np.abs(ours - theirs).max() <= 2
    assert np.abs(ours - theirs).mean() < 0.2


def test_another_sample_beside_it_changes_nothing(
    trainable: Trainable, processing: Processing
) -> None:
    first, second, third = make_samples(processing)

    def loss_of_first(*others: Sample) -> float:
        batch = TensorBatch.of(collate([first, *others], processing.pad_token_id))
        only = TensorBatch(
            **{
                **vars(batch),
                "label_index": batch.label_index[: first.label_tokens],
                "labels": batch.labels[: first.label_tokens],
            }
        )
        with torch.no_grad():
            return float(trainable.forward(only, trainable.forward.image_features(batch)))

    alone = loss_of_first()
    assert loss_of_first(second, third) == pytest.approx(alone, rel=1e-5)


def test_only_the_language_model_is_adapted(trainable: Trainable) -> None:
    names = [name for name, _value in trainable_parameters(trainable.model)]
    assert len(names) == 2 * 7 * 2
    assert all(".language_model.layers." in name and ".lora_" in name for name in names)


def test_batch_generation_equals_one_by_one(trainable: Trainable, processing: Processing) -> None:
    encoder = processing.encoder(BUDGET)
    prompts = [encoder.encode(photo(size, 9), PROMPT, None) for _answer, size in ANSWERS]
    reader = SignReader(
        trainable.base, processing, trainable.device, max_pixels=BUDGET, max_new_tokens=8
    )
    together = reader.generate(prompts)
    assert together == [reader.generate([prompt])[0] for prompt in prompts]
    assert any(together)


def test_live_bytes_count_each_storage_once_and_forget_it() -> None:
    live = LiveBytes()
    with live:
        a = torch.zeros(1000)
        view = a[10:20].reshape(2, 5)
        assert live.used_bytes == 4096
        b = a + 1
        assert live.used_bytes == 2 * 4096
        del a
        assert live.used_bytes == 2 * 4096, "the view still holds the storage"
        del view
        assert live.used_bytes == 4096
        del b
    assert (live.used_bytes, live.peak_bytes) == (0, 8192)


def test_live_bytes_enforce_the_limit_where_it_is_passed() -> None:
    live = LiveBytes(limit_bytes=10_000)
    with live:
        kept = torch.zeros(2000)
        with pytest.raises(torch.OutOfMemoryError, match="limit of 10000"):
            torch.zeros(600)
        assert live.used_bytes == kept.untyped_storage().nbytes() + 192
        torch.zeros(300)


def test_a_step_that_fits_at_its_peak_does_not_fit_in_a_byte_less(
    tiny_model_folder: Path, processing: Processing
) -> None:
    def peak(limit: int) -> int:
        device = CpuDevice(limit, limit)
        with device.session():
            trainable = make_trainable(tiny_model_folder, device)
            for _ in range(2):
                outcome: Any = run_step(
                    trainable,
                    [micro_batch(make_samples(processing), processing.pad_token_id)],
                    seed=0,
                    learning_rate=1e-3,
                    max_grad_norm=1.0,
                )
                assert outcome.samples == len(ANSWERS)
        return device.peak_bytes()

    needed = peak(2**33)
    assert peak(needed) == needed
    with pytest.raises(torch.OutOfMemoryError):
        peak(needed - 1)
