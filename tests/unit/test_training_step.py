"""The training step: samples, live bytes, checkpointing, half precision, the gradient gate."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from PIL import Image
from sign_rows import PROMPT
from training import ANSWERS, BUDGET, Bench, assert_same, gradients, learn, photo, step
from transformers import AutoImageProcessor

from core.data.tokens import PixelGeometry
from core.demo.scenes import photo_sign
from core.demo.signboards import draw_name, sign_lines
from core.errors import KocrError
from core.evaluate.generate import SignReader
from core.hardware.device import CpuDevice
from core.hardware.live_bytes import LiveBytes
from core.model.lora import trainable_parameters
from core.model.loss import CHUNK, label_loss
from core.model.resample import bicubic
from core.train.gate import GradientGate
from core.train.setup import Precision, Trainable

HALVES = [Precision("bf16", "bf16"), Precision("fp16", "fp16"), Precision("nf4", "bf16")]


@pytest.fixture(scope="module")
def bench(tiny_model_folder: Path) -> Bench:
    return Bench.of(tiny_model_folder)


def stock_values(folder: Path, size: tuple[int, int], seed: int) -> torch.Tensor:
    """What transformers' own image processor makes of a photo of the budget's size."""
    resized = bicubic(photo(size, seed), PixelGeometry(14, 2, 56 * 56).resized(*size, BUDGET))
    processor = AutoImageProcessor.from_pretrained(folder)
    values: torch.Tensor = processor(images=[resized], return_tensors="pt")["pixel_values"]
    return values


def test_labels_are_the_answer_and_the_end_of_the_turn(bench: Bench) -> None:
    processing = bench.processing
    for (answer, _size), sample in zip(ANSWERS, bench.samples(), strict=True):
        labels = sample.token_ids[-sample.label_tokens :].tolist()
        assert processing.text.tokenizer.decode(labels) == answer + "<|im_end|>"
        assert sample.image_tokens == int((sample.token_ids == processing.image_token_id).sum())


def test_prompt_and_answer_are_the_chat_templates_own(bench: Bench) -> None:
    [sample, *_] = bench.samples()
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": [{"type": "text", "text": "마왕족발"}]},
    ]
    tokenizer = bench.processing.text.tokenizer
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    expected = text.replace("<|image_pad|>", "<|image_pad|>" * sample.image_tokens)
    assert tokenizer.decode(sample.token_ids.tolist()) + "\n" == expected


def test_pixel_values_are_the_stock_processors_to_the_bit(bench: Bench) -> None:
    for seed, ((_answer, size), sample) in enumerate(zip(ANSWERS, bench.samples(), strict=True)):
        ours = bench.processing.pixels(torch.from_numpy(sample.patches), torch.float32)
        assert torch.equal(ours, stock_values(bench.folder, size, seed))


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


def test_the_split_into_micro_batches_does_not_change_the_step(bench: Bench) -> None:
    samples = bench.samples()
    splits = [[samples], [samples[:1], samples[1:]], [[sample] for sample in samples]]
    results = []
    for split in splits:
        outcome = step(bench.trainable(), [bench.micro_batch(part) for part in split])
        results.append((outcome.loss.item(), float(outcome.grad_norm)))
    for loss, norm in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        assert norm == pytest.approx(results[0][1], rel=1e-5)


def test_the_label_loss_is_cross_entropy_across_chunks() -> None:
    generator = torch.Generator().manual_seed(0)
    count = 2 * CHUNK + 7
    hidden = torch.randn(count, 16, generator=generator).requires_grad_()
    head = torch.randn(50, 16, generator=generator)
    labels = torch.randint(50, (count,), generator=generator)
    ours = label_loss(hidden, head, labels) * 3
    (slope,) = torch.autograd.grad(ours, hidden)
    stock = torch.nn.functional.cross_entropy(hidden @ head.T, labels, reduction="sum") * 3
    (expected,) = torch.autograd.grad(stock, hidden)
    torch.testing.assert_close(ours, stock, rtol=1e-6, atol=0)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-5)


def test_only_the_language_model_is_adapted(bench: Bench) -> None:
    names = [name for name, _value in trainable_parameters(bench.trainable().model)]
    assert len(names) == 2 * 7 * 2
    assert all(".language_model.layers." in name and ".lora_" in name for name in names)


def kept_bytes(bench: Bench, make: Callable[..., Trainable]) -> int:
    """Bytes that a forward pass keeps for the backward pass."""
    device = CpuDevice(2**33, 2**33)
    with device.session():
        trainable = make(device=device)
        batch = bench.micro_batch(bench.samples()).batch
        device.count(batch.tensors())
        before = device.used_bytes()
        loss = trainable.step_forward(batch)
        kept = device.used_bytes() - before
        del loss
        return kept


@pytest.mark.parametrize("precision", HALVES, ids=lambda p: f"{p.weights}-{p.compute}")
def test_half_precision_learns_what_single_precision_does(
    bench: Bench, precision: Precision
) -> None:
    """Gradients point the same way as those of the weights that the 4 bits stand for."""
    samples = bench.samples()
    single, half = bench.trainable(), bench.trainable(precision=precision)
    for name, module in half.model.named_modules():
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            single.model.get_submodule(name).weight.data = weight.float()
    expected = learn(single, [bench.micro_batch(samples)])
    ours = learn(half, [bench.micro_batch(samples)])
    assert ours.loss == pytest.approx(expected.loss, rel=0.01)
    alike = [
        float(torch.cosine_similarity(ours.gradients[name].flatten(), value.flatten(), dim=0))
        for name, value in expected.gradients.items()
    ]
    assert min(alike) > 0.99
    assert all(value.dtype == torch.float32 for value in ours.gradients.values())


def test_an_overflow_in_fp16_lowers_the_scale_and_changes_no_weight(bench: Bench) -> None:
    trainable = bench.trainable(precision=Precision("fp16", "fp16"))
    trainable.scaler.load_state_dict({**trainable.scaler.state_dict(), "scale": 2.0**40})
    before = [value.clone() for _name, value in trainable.parameters]
    outcome = step(trainable, [bench.micro_batch(bench.samples())])
    assert outcome.scaled
    assert not math.isfinite(float(outcome.grad_norm))
    assert trainable.scaler.get_scale() == 2.0**39
    pairs = zip(before, trainable.parameters, strict=True)
    assert all(torch.equal(old, new) for old, (_name, new) in pairs)
    trainable.scaler.load_state_dict({**trainable.scaler.state_dict(), "scale": 2.0**10})
    assert math.isfinite(float(step(trainable, [bench.micro_batch(bench.samples())]).grad_norm))


def test_adapters_keep_no_second_copy_of_half_precision_inputs(bench: Bench) -> None:
    """peft's cast of every input to fp32 and autocast's back would keep a copy for each layer."""

    def made(*, cast: bool, device: CpuDevice) -> Trainable:
        trainable = bench.trainable(precision=Precision("bf16", "bf16"), device=device)
        for module in trainable.model.modules():
            if cast and hasattr(module, "cast_input_dtype_enabled"):
                module.cast_input_dtype_enabled = True
        return trainable

    kept, kept_cast = (kept_bytes(bench, partial(made, cast=cast)) for cast in (False, True))
    assert kept < 0.9 * kept_cast


def test_checkpointing_takes_less_memory_the_more_layers_it_covers(bench: Bench) -> None:
    kept = [
        kept_bytes(bench, partial(bench.trainable, checkpointing=checkpointing))
        for checkpointing in ("all", 2, "none")
    ]
    assert kept[0] < 0.6 * kept[1] < 0.6 * kept[2]


def test_a_frozen_tower_keeps_nothing_for_the_backward_pass(bench: Bench) -> None:
    trainable = bench.trainable()
    features = trainable.step_forward.image_features(bench.micro_batch(bench.samples()).batch)
    assert not features.requires_grad
    trained = bench.trainable(targets="all")
    features = trained.step_forward.image_features(bench.micro_batch(bench.samples()).batch)
    assert features.requires_grad


def test_the_gate_lets_a_fresh_adapter_through(bench: Bench) -> None:
    trainable = bench.trainable(targets="all")
    with torch.no_grad():
        for name, value in trainable.parameters:
            if ".lora_B." in name:
                value.zero_()
    gate = GradientGate(trainable.parameters)
    step(
        trainable,
        [bench.micro_batch(bench.samples())],
        after_backward=gate.check,
    )
    assert gate.passed


@pytest.mark.parametrize("fault", ["none", "zero"])
def test_the_gate_names_modules_that_would_learn_nothing(bench: Bench, fault: str) -> None:
    trainable = bench.trainable()
    gate = GradientGate(trainable.parameters)
    broken = [(n, v) for n, v in trainable.parameters if "layers.1.self_attn.v_proj" in n]

    def check() -> None:
        for _name, value in broken:
            assert value.grad is not None
            value.grad = {"none": None, "zero": value.grad * 0}[fault]
        gate.check()

    with pytest.raises(KocrError) as caught:
        step(trainable, [bench.micro_batch(bench.samples())], after_backward=check)
    assert str(caught.value).startswith("2 LoRA matrices")
    assert "model.language_model.layers.1.self_attn.v_proj.lora_B.default" in str(caught.value)
    assert not gate.passed


def test_the_gate_waits_while_the_loss_scale_comes_down(bench: Bench) -> None:
    trainable = bench.trainable(precision=Precision("fp16", "fp16"))
    gate = GradientGate(trainable.parameters)
    for scale, passed in ((2.0**40, False), (2.0**10, True)):
        trainable.scaler.load_state_dict({**trainable.scaler.state_dict(), "scale": scale})
        step(
            trainable,
            [bench.micro_batch(bench.samples())],
            after_backward=gate.check,
        )
        assert gate.passed == passed


@pytest.mark.parametrize("precision", HALVES, ids=lambda p: f"{p.weights}-{p.compute}")
def test_half_precision_reads(bench: Bench, precision: Precision) -> None:
    trainable = bench.trainable(precision=precision)
    reader = SignReader(
        trainable.base, bench.processing, trainable.device, max_pixels=BUDGET, max_new_tokens=4
    )
    prompt = bench.processing.encoder(BUDGET).encode(photo((90, 90)), PROMPT, None)
    assert len(reader.generate([prompt], full_length=True)[0].token_ids) == 4


@pytest.mark.parametrize("precision", HALVES, ids=lambda p: f"{p.weights}-{p.compute}")
def test_reading_between_steps_changes_no_gradient(bench: Bench, precision: Precision) -> None:
    trainable = bench.trainable(precision=precision)
    micro_batches = [bench.micro_batch(bench.samples()) for _ in range(2)]
    before = learn(trainable, micro_batches[:1], learning_rate=0.0)
    reader = SignReader(
        trainable.base, bench.processing, trainable.device, max_pixels=BUDGET, max_new_tokens=4
    )
    reader.generate([bench.processing.encoder(BUDGET).encode(photo((90, 90)), PROMPT, None)])
    assert_same(learn(trainable, micro_batches[1:], learning_rate=0.0), before, tolerance=1e-6)


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


def test_a_step_that_fits_at_its_peak_does_not_fit_in_a_byte_less(bench: Bench) -> None:
    def peak(limit: int) -> int:
        device = CpuDevice(limit, limit)
        with device.session():
            trainable = bench.trainable(device=device)
            for _ in range(2):
                outcome: Any = step(trainable, [bench.micro_batch(bench.samples())])
                assert outcome.samples == len(ANSWERS)
        return device.peak_bytes()

    needed = peak(2**33)
    assert peak(needed) == needed
    with pytest.raises(torch.OutOfMemoryError):
        peak(needed - 1)


def test_gradients_are_gone_after_a_step(bench: Bench) -> None:
    trainable = bench.trainable()
    step(trainable, [bench.micro_batch(bench.samples())])
    assert gradients(trainable.model) == {}
