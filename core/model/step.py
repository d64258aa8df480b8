"""The forward pass of training: a packed row to the summed loss of its label tokens."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from core.data.collate import PackedRow
from core.model.loss import label_loss
from core.model.pixels import PixelValues
from core.model.vision import Tower, TowerLayout

_AUTOCAST = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class TensorBatch:
    """A ``PackedRow`` as tensors on a device, same names and shapes; the row counts as a batch.

    ``layout`` is the tower's for the photos to compute, None where all features are cached;
    ``lengths`` are those of the row's segments, on the host.
    """

    input_ids: Tensor
    positions: Tensor
    ends: Tensor
    patches: Tensor
    grids: Tensor
    features: Tensor
    image_index: Tensor
    label_index: Tensor
    labels: Tensor
    layout: TowerLayout | None
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, row: PackedRow, tower: Tower) -> Self:
        """Shares memory with the arrays."""
        arrays = {f.name: torch.from_numpy(getattr(row, f.name)) for f in fields(row)}
        layout = tower.layout(arrays["grids"]) if len(row.grids) else None
        return cls(**arrays, layout=layout, lengths=tuple((row.ends[1:] - row.ends[:-1]).tolist()))

    def to(self, device: torch.device) -> Self:
        """A copy on ``device``, without waiting for it where the memory is pinned."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Called by torch's DataLoader so that copies to the card need no wait."""
        return self.map(Tensor.pin_memory)

    def tensors(self) -> list[Tensor]:
        """All tensors of the batch."""
        found = [value for value in vars(self).values() if isinstance(value, Tensor)]
        return found + (list(self.layout.tensors.values()) if self.layout else [])

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same batch with ``change`` applied to every tensor."""
        moved: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        if self.layout is not None:
            moved["layout"] = self.layout.map(change)
        return replace(self, **moved)


def compute_dtype(base: Any) -> torch.dtype:
    """The number format that a transformers model computes in, also where weights have 4 bits."""
    dtype: torch.dtype = base.get_input_embeddings().weight.dtype
    return dtype


def mixed(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Half-precision weights with fp32 adapters are multiplied in half precision inside."""
    if dtype not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def _no_note() -> None:
    pass


class TrainingForward(nn.Module):
    """A LoRA-adapted image-text model as a module that returns the summed label loss.

    ``trains_vision`` says that image features change in training; they have a graph only then.
    """

    def __init__(self, adapted: Any, pixels: PixelValues, *, trains_vision: bool) -> None:
        super().__init__()
        self.adapted = adapted
        self._pixels = pixels
        self._trains_vision = trains_vision
        base = adapted.get_base_model()
        self._planes = 1 + len(getattr(base.model.visual, "deepstack_visual_indexes", ()))
        self._dtype = compute_dtype(base)

    def forward(
        self,
        batch: TensorBatch,
        note: Callable[[], None] = _no_note,
        keep: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Cross-entropy summed over the label tokens of the batch (a scalar, fp32).

        ``note`` is called between vision and language; ``keep`` is given the features that were
        computed, (image tokens, planes * hidden), to be cached.
        """
        with mixed(batch.input_ids.device, self._dtype):
            features = self._all_features(batch, keep)
            note()
            hidden = self._language(batch, features)
            head = self.adapted.get_base_model().lm_head.weight
            return label_loss(hidden[0].index_select(0, batch.label_index), head, batch.labels)

    def image_features(self, batch: TensorBatch) -> Tensor:
        """Features of the photos to compute, shape (image tokens, planes * hidden)."""
        assert batch.layout is not None
        visual = self.adapted.get_base_model().model.visual
        with nullcontext() if self._trains_vision else torch.no_grad():
            seen = visual(
                self._pixels(batch.patches, visual.dtype),
                grid_thw=batch.grids,
                return_dict=True,
                **batch.layout.arguments(),
            )
            planes = [seen.pooler_output, *getattr(seen, "deepstack_features", ())]
            features = torch.cat(planes, dim=1).to(self._dtype)
        assert self._trains_vision or not features.requires_grad
        return features

    def _all_features(self, batch: TensorBatch, keep: Callable[[Tensor], None] | None) -> Tensor:
        """Computed features first, then cached ones, as ``image_index`` has them."""
        if batch.layout is None:
            return self._cached(batch)
        features = self.image_features(batch)
        if keep is not None:
            keep(features)
        return torch.cat([features, self._cached(batch)]) if batch.features.numel() else features

    def _cached(self, batch: TensorBatch) -> Tensor:
        """Bytes (image tokens, bytes) as values (image tokens, planes * hidden)."""
        return batch.features.view(self._dtype)

    def _language(self, batch: TensorBatch, features: Tensor) -> Tensor:
        """Hidden states (1, t, h) of the packed row."""
        model = self.adapted.get_base_model()
        embedded = model.get_input_embeddings()(batch.input_ids)
        first, *others = features.chunk(self._planes, dim=1)
        row = embedded.index_copy(0, batch.image_index, first)[None]
        deepstack = (
            {"deepstack_visual_embeds": others, "visual_pos_masks": batch.image_index}
            if others
            else {}
        )
        hidden: Tensor = model.model.language_model(
            inputs_embeds=row,
            position_ids=batch.positions[:, None],
            use_cache=False,
            cu_seq_lens_q=batch.ends,
            cu_seq_lens_k=batch.ends,
            max_length_q=max(batch.lengths),
            max_length_k=max(batch.lengths),
            segment_lengths={len(batch.lengths): list(batch.lengths)},
            **deepstack,
        ).last_hidden_state
        return hidden
