"""Activation checkpointing by layer: what a layer kept is worked out again when it is needed."""

from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint

from core.config import AnyCheckpointing


def checkpoint_layers(
    model: Any, checkpointing: AnyCheckpointing, *, trains_vision: bool, dropout: bool
) -> None:
    """Switches it on for all, every n-th or none of the language model's layers.

    "auto", where nothing was tuned, is all.

    The tower's blocks take part where they have a graph at all. ``dropout`` has the random state
    kept as well, so that the same elements are dropped again. transformers' own switch would also
    hook the tower's input and so build a graph under a frozen tower (transformers#41993).
    """
    named = {"none": 0, "all": 1, "auto": 1}
    every = named[checkpointing] if isinstance(checkpointing, str) else checkpointing
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=dropout)
    stacks = [model.model.language_model.layers]
    if trains_vision:
        stacks.append(model.model.visual.blocks)
    for layers in stacks:
        for index, layer in enumerate(layers):
            layer.gradient_checkpointing = bool(every) and index % every == 0
            layer._gradient_checkpointing_func = again
