"""How many floating-point operations a training step needs, for model-FLOPs utilisation."""

from dataclasses import dataclass
from typing import Any, Self

from torch import nn

from core.model.step import TensorBatch


@dataclass(frozen=True)
class Work:
    """What a batch asks of the model; ``pairs`` are sums of squared segment lengths.

    ``tokens`` and ``pairs`` are the language model's, ``patches`` the tower's, with
    ``photo_pairs`` where it attends within photos and ``window_pairs`` within windows.
    """

    tokens: int = 0
    pairs: int = 0
    patches: int = 0
    photo_pairs: int = 0
    window_pairs: int = 0
    labels: int = 0

    @classmethod
    def of(cls, batch: TensorBatch) -> Self:
        """Known on the host before the batch runs."""
        layout = batch.layout
        segments = list(layout.segment_lengths.values()) if layout else [[]]
        squares = [sum(length**2 for length in lengths) for lengths in segments]
        return cls(
            tokens=sum(batch.lengths),
            pairs=sum(length**2 for length in batch.lengths),
            patches=len(batch.patches),
            photo_pairs=squares[0],
            window_pairs=squares[-1],
            labels=len(batch.labels),
        )

    def __add__(self, other: "Work") -> "Work":
        return Work(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class StepFlops:
    """Multiply-adds of one model by what causes them; two operations each.

    After PaLM (arXiv 2204.02311, appendix B), for frozen weights: a weight costs one multiply-add
    a token forward and one backward, for its input's gradient, but none for its own, and a frozen
    tower costs nothing backward. LoRA's own matrices, under 2 % of it, and recomputing are left
    out, so that the figure compares across settings.
    """

    token: int
    pair: int
    patch: int
    photo_pair: int
    window_pair: int
    label: int
    trains_vision: bool

    @classmethod
    def of(cls, base: Any, *, trains_vision: bool) -> Self:
        """Counted from the model's own layers; ``base`` is transformers' model."""
        text, vision = base.config.text_config, base.config.vision_config
        language, tower = base.model.language_model.layers, base.model.visual
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        merge = vision.spatial_merge_size**2
        mergers = _linear(tower) - _linear(tower.blocks)
        full = set(getattr(vision, "fullatt_block_indexes", range(vision.depth)))
        width = 2 * getattr(vision, "embed_dim", vision.hidden_size)
        return cls(
            token=_linear(language),
            # Query-key and value products, half of each left out by causality.
            pair=len(language) * text.num_attention_heads * head,
            patch=_linear(tower.blocks) + mergers // merge + tower.patch_embed.proj.weight.numel(),
            photo_pair=len(full) * width,
            window_pair=(vision.depth - len(full)) * width,
            label=base.lm_head.weight.numel(),
            trains_vision=trains_vision,
        )

    def __call__(self, work: Work) -> float:
        """Operations of a step: forward, and backward through the language model."""
        language = (
            2 * work.tokens * self.token + 3 * work.pairs * self.pair + 2 * work.labels * self.label
        )
        tower = (
            work.patches * self.patch
            + work.photo_pairs * self.photo_pair
            + work.window_pairs * self.window_pair
        )
        return 2.0 * (language + tower * (2 if self.trains_vision else 1))

    def language_forward(self, work: Work) -> float:
        """Operations of the language model's layers forward, which checkpointing repeats."""
        return 2.0 * (work.tokens * self.token + work.pairs * self.pair)


def _linear(module: nn.Module) -> int:
    """Multiply-adds a row of input takes in all base linear layers; 4-bit ones by their shape."""
    return sum(
        layer.in_features * layer.out_features
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and ".lora_" not in name
    )
