"""Attention inside the samples of a packed row, for tower and language model alike.

Registered with transformers' attention interface. On CUDA it is one varlen kernel
(torch.nn.attention.varlen, FlashAttention-2 inside torch) where that passes its self-test;
elsewhere each sample goes through SDPA by itself, which is what a block-diagonal mask computes
without the quadratic work between samples.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# "flash" in the name makes transformers' towers hand over the ends of photos instead of splitting.
TOWER_ATTENTION = "packed_flash"
LANGUAGE_ATTENTION = "packed"

_VARLEN_CAPABILITY = (8, 0)


class _Varlen:
    """Whether the varlen kernel may be used; a failed self-test switches it off.

    ``pretended`` decides for tensors without values, None for real ones.
    """

    allowed = True
    pretended: bool | None = None


def register() -> None:
    """Makes both names known to transformers."""
    for name in (TOWER_ATTENTION, LANGUAGE_ATTENTION):
        AttentionInterface.register(name, packed_attention)
        AttentionMaskInterface.register(name, sdpa_mask)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    segment_lengths: dict[int, list[int]] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed row (1, heads, t, d), or of a padded batch where no ends are given.

    ``cu_seq_lens_q`` (segments + 1,) int32 are the ends of the segments, ``max_length_q`` the
    longest; ``segment_lengths`` has the same lengths on the host by their number, so that nothing
    waits for the device to tell them. Returns (1, t, heads, d), and None for the weights.
    """
    if cu_seq_lens_q is None:
        output, _ = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **kwargs,
        )
        return output, None
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    if max_length_q is not None and can_use_varlen(query):
        return varlen(query, key, value, cu_seq_lens_q, max_length_q, scaling, causal), None
    count = len(cu_seq_lens_q) - 1
    lengths = (segment_lengths or {}).get(count) or cu_seq_lens_q.diff().tolist()
    return by_segment(query, key, value, lengths, scaling, causal), None


def can_use_varlen(query: Tensor) -> bool:
    """Whether the varlen kernel takes tensors such as ``query``, and hasn't failed its test."""
    if _Varlen.pretended is not None:
        return _Varlen.pretended
    return (
        _Varlen.allowed
        and query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and torch.cuda.get_device_capability(query.device) >= _VARLEN_CAPABILITY
    )


def forbid_varlen() -> None:
    """Uses SDPA from here on; called where the self-test failed."""
    _Varlen.allowed = False


@contextmanager
def traced(*, varlen: bool) -> Iterator[None]:
    """Inside, fake tensors go the way that they would on a card with that kernel or without."""
    _Varlen.pretended = varlen
    try:
        yield
    finally:
        _Varlen.pretended = None


def varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    ends: Tensor,
    longest: int,
    scaling: float | None,
    causal: bool,
) -> Tensor:
    """All segments by one kernel; tensors as in ``packed_attention``."""
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = {"scale": scaling}
    # torch 2.10 says is_causal, later versions say window_size.
    if "window_size" in known:
        options["window_size"] = (-1, 0) if causal else (-1, -1)
    else:
        options["is_causal"] = causal
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and "enable_gqa" in known:
        options["enable_gqa"] = True
    elif groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    output: Any = varlen_attn(q, k, v, ends, ends, longest, longest, **options)
    attended: Tensor = output[None]
    return attended


def by_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: list[int],
    scaling: float | None,
    causal: bool,
) -> Tensor:
    """One segment after another; tensors as in ``packed_attention``."""
    grouped = query.shape[1] != key.shape[1]
    outputs = [
        scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(
            *(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True
        )
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2)
