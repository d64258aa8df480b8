"""Generation on fake tensors: prefill, and the last of the new tokens, as ``generate`` runs them.

``generate`` itself can't run without values: it asks after every token whether all have ended.
"""

from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from core.data.collate import PromptBatch
from core.model.pixels import PixelValues
from core.model.vision import TowerLayout
from core.tune.ledger import CountedFakes, Ledger


@dataclass(frozen=True)
class FakePrompts:
    """``ids`` (n, t) and ``patches`` (p, bytes) as fakes; ``grids`` (n, 3) and layout as the tower
    takes them."""

    ids: Tensor
    patches: Tensor
    grids: Tensor
    layout: TowerLayout

    @classmethod
    def of(cls, prompts: PromptBatch, layout: TowerLayout, fakes: CountedFakes) -> "FakePrompts":
        """The prompts without their values."""
        with fakes.uncounted() as fake:
            return cls(
                ids=fake(torch.from_numpy(prompts.input_ids)),
                patches=fake(torch.from_numpy(prompts.patches)),
                grids=fake(torch.from_numpy(prompts.grids)),
                layout=layout.map(fake),
            )


class _NamedCache(DynamicCache):  # type: ignore[misc]
    """transformers' cache of keys and values, under their own name in the ledger."""

    def __init__(self, config: Any, ledger: Ledger) -> None:
        super().__init__(config=config)
        self._ledger = ledger

    def update(self, *given: Any, **options: Any) -> tuple[Tensor, Tensor]:
        keys, values = super().update(*given, **options)
        self._ledger.name((keys, values), "kv_cache")
        return keys, values

    def grow(self, tokens: int) -> None:
        """Every layer as it is ``tokens`` later."""
        for layer in self.layers:
            for name in ("keys", "values"):
                held = getattr(layer, name)
                n, heads, t, size = held.shape
                setattr(layer, name, None)
                grown = torch.empty(n, heads, t + tokens, size, dtype=layer.dtype)
                self._ledger.name((grown,), "kv_cache")
                setattr(layer, name, grown)


@torch.inference_mode()
def generate(
    base: Any, pixels: PixelValues, prompts: FakePrompts, new_tokens: int, ledger: Ledger
) -> None:
    """Runs on fakes what writing ``new_tokens`` after every prompt takes the most memory for."""
    if hasattr(base.model.language_model, "_deepstack_process"):
        base.model.language_model._deepstack_process = MethodType(
            _deepstack, base.model.language_model
        )
    rows, tokens = prompts.ids.shape
    cache = _NamedCache(base.config.text_config, ledger)
    ledger.count((prompts.ids, prompts.patches, prompts.grids))
    # generate keeps the values of all photos to its end.
    values = pixels(prompts.patches, base.model.visual.dtype)
    _read(base, values, prompts, cache)
    if new_tokens > 1:
        cache.grow(new_tokens - 2)
        word = torch.empty(rows, 1, dtype=torch.int64)
        embedded = base.get_input_embeddings()(word)
        _next_words(base, embedded, cache, tokens + new_tokens - 1)


def _read(base: Any, values: Tensor, prompts: FakePrompts, cache: DynamicCache) -> None:
    """The prompts with image features in their places; what the tower made stays until the end."""
    seen = base.model.visual(
        values, grid_thw=prompts.grids, return_dict=True, **prompts.layout.arguments()
    )
    embedded = base.get_input_embeddings()(prompts.ids)
    features = torch.cat([seen.pooler_output]).to(embedded.dtype)
    places = prompts.ids == base.config.image_token_id
    embedded = embedded.masked_scatter(places.unsqueeze(-1), features)
    planes = list(getattr(seen, "deepstack_features", None) or ())
    deepstack = {"deepstack_visual_embeds": planes, "visual_pos_masks": places} if planes else {}
    _next_words(base, embedded, cache, prompts.ids.shape[1], **deepstack)


def _next_words(
    base: Any, embedded: Tensor, cache: DynamicCache, seen: int, **deepstack: Any
) -> None:
    """One forward pass and the scores of the words that follow."""
    rows, tokens, _hidden = embedded.shape
    hidden = base.model.language_model(
        inputs_embeds=embedded,
        position_ids=torch.empty(4, rows, tokens, dtype=torch.int64),
        # One prompt alone is not padded, and generate then leaves the mask out.
        attention_mask=torch.empty(rows, seen, dtype=torch.int64) if rows > 1 else None,
        past_key_values=cache,
        use_cache=True,
        **deepstack,
    ).last_hidden_state
    scores = base.lm_head(hidden[:, -1:])[:, -1].to(torch.float32, copy=True)
    scores.clone().argmax(-1)


def _deepstack(_model: Any, hidden: Tensor, _places: Tensor, features: Tensor) -> Tensor:
    """What adding features at a mask allocates; the mask itself has no values to count."""
    hidden = hidden.clone()
    flat = hidden.view(-1, hidden.shape[-1])
    flat[: len(features)] = flat[: len(features)].clone() + features.to(hidden.dtype)
    return hidden
