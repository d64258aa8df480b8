"""The forward pass of training: frozen tower without a graph, logits for label tokens alone."""

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.data.collate import Batch
from core.model.pixels import PixelValues


@dataclass(frozen=True)
class TensorBatch:
    """A ``Batch`` as tensors on a device; the same names and shapes."""

    input_ids: Tensor
    positions: Tensor
    attention_mask: Tensor
    patches: Tensor
    grids: Tensor
    image_index: Tensor
    label_index: Tensor
    labels: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Shares memory with the arrays."""
        return cls(**{f.name: torch.from_numpy(getattr(batch, f.name)) for f in fields(batch)})

    def to(self, device: torch.device) -> Self:
        """A copy on ``device``, without waiting for it where the memory is pinned."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return type(self)(**moved)

    def tensors(self) -> list[Tensor]:
        """All tensors of the batch."""
        return [getattr(self, f.name) for f in fields(self)]

    def pin_memory(self) -> Self:
        """Called by torch's DataLoader so that copies to the card need no wait."""
        return type(self)(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


class TrainingForward(nn.Module):
    """A LoRA-adapted image-text model as a module that returns the summed label loss."""

    def __init__(self, adapted: Any, pixels: PixelValues) -> None:
        super().__init__()
        self.adapted = adapted
        self._pixels = pixels

    @torch.no_grad()
    def image_features(self, batch: TensorBatch) -> Tensor:
        """Frozen features of all photos of the batch, shape (image tokens, hidden)."""
        core = self.adapted.get_base_model().model
        values = self._pixels(batch.patches, core.visual.dtype)
        features = core.get_image_features(values, batch.grids).pooler_output
        return torch.cat(tuple(features))

    def forward(self, batch: TensorBatch, features: Tensor) -> Tensor:
        """Cross-entropy summed over the label tokens of the batch (a scalar, fp32).

        Causal attention and padding on the right need no mask: a real token never sees padding.
        """
        model = self.adapted.get_base_model()
        embedded = model.get_input_embeddings()(batch.input_ids)
        flat = embedded.flatten(0, 1).index_copy(0, batch.image_index, features.to(embedded.dtype))
        hidden = model.model.language_model(
            inputs_embeds=flat.view_as(embedded), position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        predicting = hidden.flatten(0, 1).index_select(0, batch.label_index)
        logits = model.lm_head(predicting).float()
        return functional.cross_entropy(logits, batch.labels, reduction="sum")
