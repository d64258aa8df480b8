"""The same samples trained by other trainers: transformers' Trainer, TRL's SFTTrainer, Unsloth.

They are given samples that are tokenized and patched already, so that only the step is compared;
their photos would otherwise go through transformers' image processors in the same process.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from core.data.samples import Sample
from core.model.pixels import PixelValues

RANK = 16
# More than any row has, so that Unsloth cuts none.
_UNSLOTH_TOKENS = 32_768


class PreparedRows(Dataset[dict[str, torch.Tensor]]):
    """Samples as a processor would hand them to the stock model, in order, over and over."""

    def __init__(self, samples: Sequence[Sample], pixels: PixelValues, length: int) -> None:
        self._rows = [_row(sample, pixels) for sample in samples]
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self._rows[index % len(self._rows)]

    def as_numbers(self) -> Any:
        """A datasets.Dataset of row numbers, where a trainer insists on one; see ``collate``."""
        import pyarrow
        from datasets import Dataset as NumberedRows
        from datasets.table import InMemoryTable

        numbers = pyarrow.table({"number": list(range(self._length))})
        # Left to itself it makes a fingerprint by pickling, which not every version can.
        return NumberedRows(InMemoryTable(numbers), fingerprint="rows")

    def collate(self, numbers: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
        """The padded rows of those numbers."""
        return pad([self[row["number"]] for row in numbers])


def _row(sample: Sample, pixels: PixelValues) -> dict[str, torch.Tensor]:
    ids = torch.from_numpy(sample.token_ids)
    labels = ids.clone()
    labels[: len(sample) - sample.label_tokens] = -100
    types = torch.zeros_like(ids)
    types[sample.image_start : sample.image_start + sample.image_tokens] = 1
    return {
        "input_ids": ids,
        "labels": labels,
        "mm_token_type_ids": types,
        "pixel_values": pixels(torch.from_numpy(sample.patches), torch.float32),
        "image_grid_thw": torch.tensor([sample.grid]),
    }


def pad(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The usual padding collator: every row as long as the longest."""
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, value: int) -> torch.Tensor:
        filled = torch.full((len(rows), longest), value)
        for place, row in enumerate(rows):
            filled[place, : len(row[name])] = row[name]
        return filled

    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", -100),
        "mm_token_type_ids": padded("mm_token_type_ids", 0),
        "attention_mask": (torch.arange(longest)[None] < lengths[:, None]).long(),
        "pixel_values": torch.cat([row["pixel_values"] for row in rows]),
        "image_grid_thw": torch.cat([row["image_grid_thw"] for row in rows]),
    }


def lora(targets: str) -> LoraConfig:
    """What both sides train."""
    return LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets, task_type="CAUSAL_LM")


class Clock(TrainerCallback):
    """When each optimizer step ended, and what it lost."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def seconds(self) -> list[float]:
        """Of each step but the first."""
        return np.diff(self.ends)[1:].tolist()


def _settings(folder: str, batch: int, micro_batch: int, steps: int) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "output_dir": folder,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": batch // micro_batch,
        "max_steps": steps,
        "learning_rate": 1e-4,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "remove_unused_columns": False,
        "dataloader_pin_memory": cuda,
        "use_cpu": not cuda,
        "bf16": cuda,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
    }


def train_with_trainer(
    model: Any,
    targets: str,
    rows: PreparedRows,
    *,
    batch: int,
    micro_batch: int,
    steps: int,
    settings: dict[str, Any] | None = None,
) -> Clock:
    """transformers' Trainer around peft's model."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            **_settings(folder, batch, micro_batch, steps) | (settings or {})
        )
        trainer = Trainer(
            get_peft_model(model, lora(targets)),
            arguments,
            data_collator=pad,
            train_dataset=rows,
            callbacks=[clock],
        )
        trainer.train()
    return clock


def train_with_trl(
    model: Any,
    targets: str,
    rows: PreparedRows,
    *,
    batch: int,
    micro_batch: int,
    steps: int,
    settings: dict[str, Any] | None = None,
) -> Clock:
    """TRL's SFTTrainer with its chunked loss (its default) on completion labels alone."""
    options = _settings("", batch, micro_batch, steps) | (settings or {}) | {"loss_type": "nll"}
    return _sft(get_peft_model(model, lora(targets)), rows, options | {"max_length": None})


def train_with_unsloth(
    folder: Path,
    rows: PreparedRows,
    *,
    batch: int,
    micro_batch: int,
    steps: int,
    settings: dict[str, Any] | None = None,
) -> Clock:
    """Unsloth's model and its own loss in the SFTTrainer that it changes; needs a card.

    ``folder`` holds the checkpoint, which Unsloth loads itself. A process must import ``unsloth``
    before this module. Recomputing is Unsloth's own kind, which keeps activations on the host.
    Written after Unsloth's documentation and sources; this has not been run by us yet.
    """
    from unsloth import FastVisionModel

    options = _settings("", batch, micro_batch, steps) | (settings or {})
    recompute = bool(options["gradient_checkpointing"])
    kind = "unsloth" if recompute else False
    model, _processor = FastVisionModel.from_pretrained(
        str(folder),
        max_seq_length=_UNSLOTH_TOKENS,
        dtype=torch.bfloat16,
        load_in_4bit=False,
        use_gradient_checkpointing=kind,
    )
    model = FastVisionModel.get_peft_model(
        model,
        r=RANK,
        lora_alpha=2 * RANK,
        lora_dropout=0,
        bias="none",
        finetune_vision_layers=False,
        finetune_language_layers=True,
        finetune_attention_modules=True,
        finetune_mlp_modules=True,
        use_gradient_checkpointing=kind,
    )
    FastVisionModel.for_training(model, use_gradient_checkpointing=recompute)
    return _sft(model, rows, options | {"max_length": _UNSLOTH_TOKENS})


def _sft(adapted: Any, rows: PreparedRows, options: dict[str, Any]) -> Clock:
    """TRL's SFTTrainer on rows that are prepared already."""
    from trl import SFTConfig, SFTTrainer

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            **options | {"output_dir": folder},
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        trainer = SFTTrainer(
            adapted,
            arguments,
            data_collator=rows.collate,
            train_dataset=rows.as_numbers(),
            processing_class=_no_processing(),
            callbacks=[clock],
        )
        trainer.train()
    return clock


def _no_processing() -> Any:
    """A tokenizer only because SFTTrainer asks for one: rows are prepared already."""
    from core.demo.base_model import build_tokenizer

    return build_tokenizer()


Train = Callable[..., Clock]
PEERS: dict[str, Train] = {"Trainer + peft": train_with_trainer}
try:
    import trl

    PEERS[f"TRL {trl.__version__} SFTTrainer"] = train_with_trl
except ImportError:
    pass
