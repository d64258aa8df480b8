"""Keeps the state of base training on disk and exports the weights it has so far."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import Qwen2Tokenizer, Qwen2VLForConditionalGeneration

from core.demo.base_model import save_processor


@dataclass(slots=True)
class Progress:
    """How far training has come: ``step`` batches in ``seconds`` of training time."""

    step: int = 0
    seconds: float = 0.0
    images: int = 0


class Average:
    """A running mean of the weights, which reads better than the latest weights alone."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves the mean towards the weights of ``model``; faster while ``step`` is small."""
        decay = min(self.decay, (step + 1) / (step + 10))
        targets = [value.detach() for _, value in model.named_parameters()]
        torch._foreach_lerp_(list(self.values.values()), targets, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchanges the mean with the weights of ``model``; a second call undoes it."""
        for name, value in model.named_parameters():
            kept = value.detach().clone()
            value.copy_(self.values[name])
            self.values[name].copy_(kept)


def save_state(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizer: Optimizer,
    average: Average,
    progress: Progress,
) -> None:
    """Writes everything that training needs to go on from here."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {f"average/{k}": v for k, v in average.values.items()}
    for prefix, module in modules.items():
        tensors |= {f"{prefix}/{k}": v.detach() for k, v in module.named_parameters()}
    for key, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{key}/{n}": torch.as_tensor(v) for n, v in moments.items()}
    tensors = {name: value.clone().contiguous() for name, value in tensors.items()}
    fresh = folder / "state.new"
    save_file(tensors, fresh, {"progress": json.dumps(asdict(progress))})
    fresh.replace(folder / "state.safetensors")
    (folder / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")


@torch.no_grad()
def load_state(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizer: Optimizer,
    average: Average,
) -> Progress:
    """Takes up the state in ``folder``; without one, training starts from nothing."""
    path = folder / "state.safetensors"
    if not path.is_file():
        return Progress()
    tensors = load_file(path)
    for name, value in average.values.items():
        value.copy_(tensors[f"average/{name}"])
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            parameter.copy_(tensors[f"{prefix}/{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parts = name.split("/")
        if parts[0] == "optimizer":
            state.setdefault(int(parts[1]), {})[parts[2]] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))


def export(folder: Path, model: Qwen2VLForConditionalGeneration, tokenizer: Qwen2Tokenizer) -> None:
    """Writes ``model`` in bfloat16 as a ``from_pretrained`` folder, file by file in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().to(torch.bfloat16) for k, v in model.state_dict().items()}
    state.pop("lm_head.weight", None)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        made = Path(scratch)
        save_file(
            {k: v.contiguous() for k, v in state.items()},
            made / "model.safetensors",
            {"format": "pt"},
        )
        model.config.architectures = [type(model).__name__]
        model.config.dtype = torch.bfloat16
        model.config.save_pretrained(str(made))
        model.generation_config.save_pretrained(str(made))
        save_processor(made, tokenizer)
        for file in sorted(made.iterdir()):
            file.chmod(0o644)
            file.replace(folder / file.name)
