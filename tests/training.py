"""What tests of the training step share: photos, samples, our model, and the stock one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from PIL import Image
from sign_rows import PROMPT
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from core.config import LoraConfig, ModelConfig, Targets, TrainConfig
from core.data.collate import collate
from core.data.samples import Sample
from core.hardware.device import CpuDevice, Device
from core.model.families.family import Family
from core.model.load import open_config
from core.model.processing import Processing, load_processing
from core.model.step import TensorBatch
from core.model.vision import Tower
from core.train.loading.micro_batch import MicroBatch
from core.train.self_tests import FastPaths
from core.train.setup import Precision, Trainable, build
from core.train.step import StepOutcome, run_step

BUDGET = 40 * 784
ANSWERS = [
    ("마왕족발", (200, 140)),
    ("원마트 (ONE MART)", (130, 260)),
    ("A", (84, 84)),
    ("행복한 세탁소", (180, 100)),
]


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@dataclass(frozen=True)
class Bench:
    """One tiny checkpoint with all that is needed to train it and to ask the stock model."""

    folder: Path
    family: Family
    processing: Processing
    tower: Tower

    @classmethod
    def of(cls, folder: Path) -> "Bench":
        model = ModelConfig(path=str(folder))
        config, family = open_config(model)
        return cls(folder, family, load_processing(model, family), Tower.of(family, config))

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(path=str(self.folder))

    def samples(self, count: int = len(ANSWERS)) -> list[Sample]:
        encoder = self.processing.encoder(BUDGET)
        return [
            encoder.encode(photo(size, seed), PROMPT, answer)
            for seed, (answer, size) in enumerate(ANSWERS[:count])
        ]

    def micro_batch(self, samples: Sequence[Sample], multiple: int = 8) -> MicroBatch:
        micro = MicroBatch.of(samples, self.processing.pad_token_id, self.tower)
        row = collate(list(samples), self.processing.pad_token_id, multiple)
        return replace(micro, batch=TensorBatch.of(row, self.tower))

    def trainable(
        self,
        *,
        precision: Precision = Precision("fp32", "fp32"),  # noqa: B008
        targets: Targets = "language",
        device: Device | None = None,
        lora: LoraConfig | None = None,
        **train: Any,
    ) -> Trainable:
        """Ours, with adapter weights that make every gradient count."""
        made = build(
            self.model,
            precision,
            self.family,
            self.processing.pixels,
            lora or LoraConfig(rank=4, targets=targets),
            TrainConfig(**{"seed": 3, "checkpointing": "none", **train}),
            device or CpuDevice(2**33, 2**33),
            FastPaths(),
        )
        made.model.train()
        stir(made.model)
        return made

    def stock(self, targets: Targets = "language", *, nf4: bool = False) -> Any:
        """transformers' model and peft's adapter as anyone would make them, in fp32."""
        options: dict[str, Any] = {}
        if nf4:
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.float32,
                llm_int8_skip_modules=["model.visual", "visual", "lm_head"],
            )
        base = AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=torch.float32, attn_implementation="sdpa", **options
        )
        pattern = self.family.lora_pattern(targets)
        adapted = get_peft_model(base, PeftLoraConfig(r=4, lora_alpha=32, target_modules=pattern))
        stir(adapted)
        return adapted.train()

    def stock_gradients(self, adapted: Any, samples: Sequence[Sample]) -> "Learned":
        """One sample at a time, averaged over label tokens."""
        total = torch.zeros(())
        for sample in samples:
            total = total + self.stock_loss(adapted, sample) * sample.label_tokens
        loss = total / sum(sample.label_tokens for sample in samples)
        loss.backward()
        return Learned(loss.item(), gradients(adapted))

    def stock_loss(self, adapted: Any, sample: Sample) -> torch.Tensor:
        """The stock model's own loss of one sample."""
        ids = torch.from_numpy(sample.token_ids)[None]
        labels = ids.clone()
        labels[0, : len(sample) - sample.label_tokens] = -100
        types = torch.zeros_like(ids)
        types[0, sample.image_start : sample.image_start + sample.image_tokens] = 1
        loss: torch.Tensor = adapted(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=self.processing.pixels(torch.from_numpy(sample.patches), torch.float32),
            image_grid_thw=torch.tensor([sample.grid]),
            mm_token_type_ids=types,
            labels=labels,
        ).loss
        return loss


@dataclass(frozen=True)
class Learned:
    loss: float
    gradients: dict[str, torch.Tensor]


def stir(adapted: torch.nn.Module) -> None:
    """Gives every LoRA matrix values that depend on its name alone."""
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if ".lora_" in name:
                seed = sum(map(ord, name))
                value.normal_(std=0.05, generator=torch.Generator().manual_seed(seed))


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the adapter's gradients by parameter name."""
    return {
        name: value.grad.clone()
        for name, value in model.named_parameters()
        if value.requires_grad and value.grad is not None
    }


def learn(trainable: Trainable, micro_batches: list[MicroBatch], **options: Any) -> Learned:
    """One step of ours: the loss, and the gradients as they were before clipping."""
    seen: dict[str, torch.Tensor] = {}

    def look() -> None:
        seen.update(gradients(trainable.model))

    outcome = step(trainable, micro_batches, after_backward=look, **options)
    return Learned(outcome.loss.item(), seen)


def step(
    trainable: Trainable,
    micro_batches: list[MicroBatch],
    *,
    after_backward: Callable[[], None] | None = None,
    **options: Any,
) -> StepOutcome:
    settings = {"seed": 0, "learning_rate": 1e-3, "max_grad_norm": 1.0} | options
    return run_step(trainable, micro_batches, after_backward=after_backward, **settings)


def assert_same(ours: Learned, stock: Learned, tolerance: float = 1e-5) -> None:
    """The loss, and every gradient by its norm, to ``tolerance`` relative."""
    assert abs(ours.loss - stock.loss) <= tolerance * abs(stock.loss)
    assert ours.gradients.keys() == stock.gradients.keys()
    for name, expected in stock.gradients.items():
        scale = expected.norm()
        assert scale > 0, name
        off = (ours.gradients[name] - expected).norm() / scale
        assert off <= tolerance, (name, float(off))
