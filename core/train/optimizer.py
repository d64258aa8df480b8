"""AdamW over the adapter, and its state as safetensors."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.config import TrainConfig
from core.model.lora import check_tensors

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
Named = list[tuple[str, nn.Parameter]]


def make_optimizer(parameters: Named, train: TrainConfig, *, fused: bool) -> torch.optim.AdamW:
    """AdamW; ``fused`` is one kernel for all matrices instead of several for each."""
    return torch.optim.AdamW(
        [value for _name, value in parameters],
        lr=train.learning_rate,
        betas=(0.9, 0.999),
        weight_decay=train.weight_decay,
        fused=fused,
    )


def update(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Updates the weights once, unless ``finite`` (bool, no dimensions, on their device) is false.

    Then weights, moments and their count of updates stay as they are. The fused kernel is told on
    the device, so that nothing waits; without it the host has to ask.
    """
    if not all(group["fused"] for group in optimizer.param_groups):
        if finite.item():
            optimizer.step()
        return
    # What the kernel knows a loss scaler's verdict by; torch sets it from outside, too.
    vars(optimizer)["found_inf"] = (~finite).float()
    try:
        optimizer.step()
    finally:
        del vars(optimizer)["found_inf"]


def save_optimizer(optimizer: torch.optim.Optimizer, parameters: Named, path: Path) -> None:
    """Writes every parameter's moments under the parameter's name."""
    tensors = {
        f"{name}.{moment}": optimizer.state[value][moment].detach().cpu().contiguous()
        for name, value in parameters
        for moment in _MOMENTS
        if value in optimizer.state
    }
    save_file(tensors, path)


def read_optimizer(optimizer: torch.optim.Optimizer, parameters: Named, path: Path) -> None:
    """Puts saved moments back, each to its parameter's device.

    Raises UnfitError, with nothing changed, if they are not those of the parameters; before the
    first update there are none.
    """
    tensors = load_file(path)
    wanted = {
        f"{name}.{moment}": torch.zeros(()) if moment == "step" else value
        for name, value in parameters
        for moment in _MOMENTS
    }
    if tensors:
        check_tensors(tensors, wanted, "the optimizer")
    for name, value in parameters:
        optimizer.state.pop(value, None)
        if tensors:
            optimizer.state[value] = {
                moment: tensors[f"{name}.{moment}"].to(value.device) for moment in _MOMENTS
            }
