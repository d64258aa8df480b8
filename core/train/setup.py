"""Model, adapter, optimizer and accelerator put together: the same for training and probes."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from peft import PeftModel

from core.config import LoraConfig, ModelConfig, TrainConfig
from core.hardware.device import Device
from core.model.families import Family
from core.model.load import load_model
from core.model.lora import add_adapter, trainable_parameters
from core.model.pixels import PixelValues
from core.model.step import TrainingForward
from core.train.optimizer import Named, make_optimizer


@dataclass(frozen=True)
class Trainable:
    """Everything that a training step touches; lives on the device."""

    model: PeftModel
    forward: TrainingForward
    step_forward: Any
    optimizer: Any
    parameters: Named
    accelerator: Accelerator
    device: Device

    @property
    def base(self) -> Any:
        """The transformers model with the adapter's layers in it."""
        return self.model.get_base_model()

    @property
    def bare_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer without accelerate's wrapper."""
        bare: torch.optim.Optimizer = self.optimizer.optimizer
        return bare


def build(
    model: ModelConfig,
    weights: str,
    family: Family,
    pixels: PixelValues,
    lora: LoraConfig,
    train: TrainConfig,
    device: Device,
) -> Trainable:
    """Loads the base, adds a fresh adapter and prepares both through accelerate."""
    accelerator = Accelerator(
        cpu=device.torch_device.type == "cpu",
        mixed_precision="no" if weights == "fp32" else weights,
    )
    adapted = add_adapter(load_model(model, weights), family, lora, train.seed)
    adapted.to(device.torch_device)
    device.count([*adapted.parameters(), *adapted.buffers()])
    parameters = trainable_parameters(adapted)
    forward = TrainingForward(adapted, pixels)
    step_forward, optimizer = accelerator.prepare(forward, make_optimizer(parameters, train))
    return Trainable(adapted, forward, step_forward, optimizer, parameters, accelerator, device)
