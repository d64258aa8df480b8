"""Model, adapter, optimizer and accelerator put together: the same for training and probes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from peft import PeftModel

from core.config import LoraConfig, ModelConfig, TrainConfig
from core.hardware.device import Device
from core.model.checkpointing import checkpoint_layers
from core.model.families.family import Family, trains_vision
from core.model.load import load_model, weight_tensors
from core.model.lora import add_adapter, trainable_parameters
from core.model.pixels import PixelValues
from core.model.step import TrainingForward
from core.train.optimizer import Named, make_optimizer
from core.train.self_tests import FastPaths

# The others wait while the first process tunes or validates.
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Precision:
    """The number formats of the frozen weights (bf16, fp16, fp32, nf4) and of computing."""

    weights: str
    compute: str


@dataclass(frozen=True)
class Trainable:
    """Everything that a training step touches; lives on the device.

    ``step_forward`` is ``forward`` as a step calls it, together with other processes if need be.
    """

    model: PeftModel
    forward: TrainingForward
    step_forward: Any
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    parameters: Named
    accelerator: Accelerator
    device: Device

    @property
    def base(self) -> Any:
        """The transformers model with the adapter's layers in it."""
        return self.model.get_base_model()


def make_accelerator(device: torch.device) -> Accelerator:
    """accelerate's view of this process and the others that train with it, if there are any."""
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no",
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=_PATIENCE),
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
        ],
    )


def build(
    model: ModelConfig,
    precision: Precision,
    family: Family,
    pixels: PixelValues,
    lora: LoraConfig,
    train: TrainConfig,
    device: Device,
    fast: FastPaths,
) -> Trainable:
    """Loads the base and puts everything around it that training needs; see ``assemble``."""
    base = load_model(model, family, precision.weights, precision.compute)
    return assemble(base, precision, family, pixels, lora, train, device, fast)


def assemble(
    base: Any,
    precision: Precision,
    family: Family,
    pixels: PixelValues,
    lora: LoraConfig,
    train: TrainConfig,
    device: Device,
    fast: FastPaths,
    accelerate: Callable[[torch.device], Accelerator] = make_accelerator,
) -> Trainable:
    """A fresh adapter on ``base``, moved to the device, with optimizer and loss scaler."""
    accelerator = accelerate(device.torch_device)
    adapted = add_adapter(base, family, lora, train.seed)
    adapted.to(device.torch_device)
    device.count(weight_tensors(adapted))
    vision = trains_vision(lora.targets)
    checkpoint_layers(base, train.checkpointing, trains_vision=vision, dropout=lora.dropout > 0)
    parameters = trainable_parameters(adapted)
    forward = TrainingForward(adapted, pixels, trains_vision=vision)
    return Trainable(
        model=adapted,
        forward=forward,
        step_forward=accelerator.prepare(forward),
        optimizer=make_optimizer(parameters, train, fused=fast.fused),
        scaler=torch.amp.GradScaler(device.torch_device.type, enabled=precision.compute == "fp16"),
        parameters=parameters,
        accelerator=accelerator,
        device=device,
    )
