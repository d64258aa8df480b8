"""Peaks of a full-size model's training and generation on a card, one adapter after another."""

import gc
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from gpu_card import nvml_bytes
from peft.tuners.lora import LoraLayer

from core.config import LoraConfig, ModelConfig, TrainConfig
from core.data.samples import Sample
from core.evaluate.generate import SignReader
from core.hardware.device import Device
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.model.families import QWEN2_VL, family_of
from core.model.families.family import Family
from core.model.load import keep_packing, make_ready
from core.model.presets import preset_model
from core.model.processing import load_processing
from core.model.vision import Tower
from core.train.loading.micro_batch import MicroBatch
from core.train.self_tests import FastPaths
from core.train.setup import Precision, Trainable, assemble
from core.train.step import run_step
from core.tune.case import Case
from core.tune.space import Candidate

# Its tokenizer and image processor do for all: only sizes matter here.
BASE = files("core.demo") / "base"


class Peaks(msgspec.Struct, frozen=True):
    """Bytes at the peak of training and of generation, by torch's allocator and by NVML."""

    training: int
    generation: int
    reserved: int
    nvml: int
    workspace: int

    @property
    def allocated(self) -> int:
        """The higher of the two."""
        return max(self.training, self.generation)


def make_base(preset: str, weights: str) -> Any:
    """Random weights made on the card, 4-bit ones packed layer by layer."""
    base = preset_model(preset, torch.bfloat16, "cuda")
    if weights == "nf4":
        quantize(base)
    return make_ready(base, family_of(base.config.model_type, preset))


def quantize(base: Any) -> None:
    """The language model's linear layers in NF4, as ``load_model`` has transformers do it."""
    for module in list(base.model.language_model.layers.modules()):
        for name, linear in list(module.named_children()):
            if type(linear) is torch.nn.Linear:
                packed = Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=linear.bias is not None,
                    compute_dtype=torch.bfloat16,
                    quant_type="nf4",
                    device="meta",
                )
                packed.weight = Params4bit(
                    linear.weight.data, requires_grad=False, quant_type="nf4"
                )
                packed.bias = linear.bias
                setattr(module, name, packed.to(linear.weight.device))
    keep_packing(base)
    base.is_loaded_in_4bit = True


@dataclass(frozen=True)
class Measured:
    """A base on a device, on which one adapter after another is measured."""

    base: Any
    family: Family
    device: Device
    fast: FastPaths

    def peaks(
        self, candidate: Candidate, case: Case, tokens: int, row_tokens: int, prompts: int = 1
    ) -> Peaks | OutOfMemory:
        """Peaks of the worst case at a budget of ``tokens``; the base is left as it was."""
        with self.device.session():
            found = attempt(partial(self._run, candidate, case, tokens, row_tokens, prompts))
        remove_adapter(self.base)
        gc.collect()
        self.device.free_cache()
        return found

    def _run(
        self, candidate: Candidate, case: Case, tokens: int, row_tokens: int, prompts: int
    ) -> Peaks:
        processing = load_processing(ModelConfig(path=str(BASE)), QWEN2_VL)
        trainable = assemble(
            self.base,
            Precision(candidate.weights, "bf16"),
            self.family,
            processing.pixels,
            LoraConfig(rank=candidate.rank, targets=candidate.targets),
            TrainConfig(checkpointing=candidate.checkpointing),
            self.device,
            self.fast,
        )
        self.device.reset_peak()
        trainable.model.train()
        for _ in range(2):
            self._step(trainable, case.micro_batch(tokens, row_tokens))
        training = allocated_peak(self.device)
        reserved = self.device.peak_bytes()
        self.device.reset_peak()
        reader = SignReader(
            trainable.base,
            processing,
            self.device,
            max_pixels=case.pixels(tokens),
            max_new_tokens=case.new_tokens,
        )
        asked = [self._with_ids(one) for one in case.prompts(tokens, prompts)]
        reader.generate(asked, full_length=True)
        return Peaks(
            training=training,
            generation=allocated_peak(self.device),
            reserved=max(reserved, self.device.peak_bytes()),
            nvml=nvml_bytes(),
            workspace=clear_workspaces(self.device),
        )

    def _step(self, trainable: Trainable, samples: list[Sample]) -> None:
        """Two micro-batches: gradients of the first lie beside the activations of the second."""
        tower = Tower.of(self.family, self.base.config)
        with self.device.host_work():
            micro_batches = [MicroBatch.of(samples, 0, tower) for _ in range(2)]
        run_step(trainable, micro_batches, seed=0, learning_rate=1e-4, max_grad_norm=1.0)

    def _with_ids(self, sample: Sample) -> Sample:
        """Only generation asks the ids where the photo is."""
        ids = sample.token_ids.copy()
        ids[sample.image_start : sample.image_start + sample.image_tokens] = (
            self.base.config.image_token_id
        )
        return replace(sample, token_ids=ids)


def remove_adapter(base: Any) -> None:
    """Puts the base's own layers back, also where an adapter was only half made."""
    for module in list(base.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, LoraLayer):
                setattr(module, name, layer.get_base_layer())
    if hasattr(base, "peft_config"):
        del base.peft_config


def allocated_peak(device: Device) -> int:
    """Most bytes in live tensors since ``reset_peak``."""
    if device.torch_device.type == "cuda":
        return torch.cuda.max_memory_allocated(device.torch_device)
    return device.peak_bytes()


def clear_workspaces(device: Device) -> int:
    """Gives back cuBLAS's workspaces and says how many bytes they were (PyTorch's CUDA notes)."""
    if device.torch_device.type != "cuda":
        return 0
    held = torch.cuda.memory_allocated()
    torch._C._cuda_clearCublasWorkspaces()
    return held - torch.cuda.memory_allocated()
