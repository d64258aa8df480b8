"""Models as shapes alone: fake tensors in the place of weights, so that none are needed."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from bitsandbytes.functional import QuantState
from bitsandbytes.nn import Linear4bit
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText

from core.config import LoraConfig, TrainConfig
from core.hardware.device import CpuDevice, Mark
from core.model.checkpointing import checkpoint_layers
from core.model.families.family import Family, trains_vision
from core.model.load import DTYPES, keep_packing, make_ready, weight_tensors
from core.model.lora import add_adapter, trainable_parameters
from core.model.pixels import PixelValues
from core.model.step import TrainingForward
from core.train.optimizer import Named, make_optimizer
from core.train.setup import Precision, Trainable, make_accelerator
from core.tune.ledger import CountedFakes, Ledger

_NF4_BLOCK, _SCALE_BLOCK = 64, 256
# What run_step does between its marks, for one micro-batch.
_PHASES = ("vision", "forward", "backward", "optimizer", "optimizer", "idle")


class FakePixels(PixelValues):
    """The same values' shapes; a column is made anew, as a fake lives no longer than its mode."""

    def column(self, values: tuple[float, ...], device: torch.device) -> Tensor:
        return torch.tensor(values, device=device)[:, None]


@dataclass(frozen=True)
class Architecture:
    """A model's shape: transformers' config and its family."""

    config: Any
    family: Family
    # Three channels, and every still picture twice in time, in all families.
    pixels: ClassVar[FakePixels] = FakePixels(255.0, (0.5,) * 3, (0.5,) * 3, frames=2)

    @property
    def vocabulary(self) -> int:
        """Words, which is how many logits a token has."""
        return int(self.config.text_config.vocab_size)


class FakeDevice(CpuDevice):
    """A device for fake tensors; the marks of a step tell the ledger which phase begins."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(2**62, 2**62)
        self._ledger = ledger
        self._marks = 0

    def count(self, tensors: Any) -> None:
        self._ledger.count(tensors)

    def used_bytes(self) -> int:
        return self._ledger.used_bytes

    def mark(self) -> Mark:
        self._ledger.enter(_PHASES[self._marks % len(_PHASES)])
        self._marks += 1
        return super().mark()


def fake_trainable(
    architecture: Architecture,
    precision: Precision,
    lora: LoraConfig,
    train: TrainConfig,
    fakes: CountedFakes,
    ledger: Ledger,
) -> Trainable:
    """What a training step touches, as ``core.train.setup.assemble`` makes it, without values.

    It's in the state between two micro-batches of a later step, which is when most is alive:
    the optimizer's moments and all gradients are there.
    """
    base = meta_model(architecture, precision)
    adapted = add_adapter(base, architecture.family, lora, train.seed)
    vision = trains_vision(lora.targets)
    checkpoint_layers(base, train.checkpointing, trains_vision=vision, dropout=lora.dropout > 0)
    with fakes.uncounted():
        _without_values(adapted)
    parameters = trainable_parameters(adapted)
    adapters = [value for _name, value in parameters]
    ledger.name(adapters, "adapter")
    ledger.name(_frozen(adapted, adapters), "weights")
    forward = TrainingForward(adapted, architecture.pixels, trains_vision=vision)
    with fakes.uncounted():
        optimizer = _used_optimizer(parameters, train, ledger)
    adapted.train()
    return Trainable(
        model=adapted,
        forward=forward,
        step_forward=forward,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        parameters=parameters,
        accelerator=make_accelerator(torch.device("cpu")),
        device=FakeDevice(ledger),
    )


def meta_model(architecture: Architecture, precision: Precision) -> Any:
    """The base on the meta device, its language layers in 4 bits where that is asked for."""
    compute = DTYPES[precision.compute]
    # A model writes into its config which attention it has.
    config = deepcopy(architecture.config)
    with torch.device("meta"):
        base = AutoModelForImageTextToText.from_config(config, dtype=compute)
        if precision.weights == "nf4":
            _quantize(base.model.language_model.layers, compute)
            keep_packing(base)
            base.is_loaded_in_4bit = True
    return make_ready(base, architecture.family)


def _quantize(layers: nn.Module, compute: torch.dtype) -> None:
    for module in list(layers.modules()):
        for name, linear in list(module.named_children()):
            if isinstance(linear, nn.Linear):
                quantized = Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=linear.bias is not None,
                    compute_dtype=compute,
                    quant_type="nf4",
                )
                if linear.bias is not None:
                    quantized.bias = linear.bias
                setattr(module, name, quantized)


def _without_values(model: nn.Module) -> None:
    """Fakes in the place of all parameters and buffers; what was shared stays shared."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is None:
                continue
            if id(value) not in made:
                made[id(value)] = _fake_parameter(module, name, value)
            module._parameters[name] = made[id(value)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _fake_parameter(module: nn.Module, name: str, value: nn.Parameter) -> nn.Parameter:
    if not (isinstance(module, Linear4bit) and name == "weight"):
        fake = torch.empty(value.shape, dtype=value.dtype)
        return nn.Parameter(fake, requires_grad=value.requires_grad)
    shape = torch.Size((module.out_features, module.in_features))
    packed = nn.Parameter(
        torch.empty((shape.numel() + 1) // 2, 1, dtype=torch.uint8), requires_grad=False
    )
    assert module.compute_dtype is not None
    packed.quant_state = _quant_state(shape, module.compute_dtype)  # type: ignore[attr-defined]
    return packed


def _quant_state(shape: torch.Size, compute: torch.dtype) -> QuantState:
    """As bitsandbytes makes it with double quantization (QLoRA, arXiv 2305.14314)."""
    blocks = -(-shape.numel() // _NF4_BLOCK)
    return QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8),
        shape=shape,
        code=torch.empty(16),
        blocksize=_NF4_BLOCK,
        quant_type="nf4",
        dtype=compute,
        offset=torch.empty(()),
        state2=QuantState(
            absmax=torch.empty(-(-blocks // _SCALE_BLOCK)),
            code=torch.empty(256),
            blocksize=_SCALE_BLOCK,
            dtype=torch.float32,
        ),
    )


def _frozen(model: nn.Module, adapters: list[nn.Parameter]) -> list[Tensor]:
    """All that isn't trained."""
    trained = {id(value) for value in adapters}
    return [value for value in weight_tensors(model) if id(value) not in trained]


def _used_optimizer(parameters: Named, train: TrainConfig, ledger: Ledger) -> torch.optim.AdamW:
    """AdamW with its moments, and parameters with gradients, as after a first micro-batch."""
    optimizer = make_optimizer(parameters, train, fused=True)
    for _name, value in parameters:
        moments = {
            "step": torch.empty(()),
            "exp_avg": torch.empty_like(value, requires_grad=False),
            "exp_avg_sq": torch.empty_like(value, requires_grad=False),
        }
        optimizer.state[value] = moments
        value.grad = torch.empty_like(value, requires_grad=False)
        ledger.name(moments.values(), "optimizer")
        ledger.name((value.grad,), "adapter")
    return optimizer
