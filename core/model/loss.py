"""The loss over label tokens, without ever holding all their logits."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 64


class _LabelLoss(torch.autograd.Function):
    """Cross-entropy of a frozen head, whose gradient is worked out along with the loss.

    The head needs no gradient, so what is kept for the backward pass is one row of the hidden
    size a label instead of one of the vocabulary. The idea is Liger Kernel's fused linear
    cross-entropy (arXiv 2410.10989), here in plain torch.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
        """The summed loss of ``hidden`` (labels, h) under ``head`` (vocabulary, h)."""
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(labels), CHUNK):
            span = slice(start, start + CHUNK)
            wanted = labels[span, None]
            logits = functional.linear(hidden[span], head).float()
            scores = torch.log_softmax(logits, dim=-1)
            del logits
            total -= scores.gather(1, wanted).sum()
            slope = scores.exp_()
            slope.scatter_add_(1, wanted, slope.new_full(wanted.shape, -1.0))
            gradient[span] = slope.to(head.dtype) @ head
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outgoing: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outgoing[0].to(gradient.dtype), None, None


def label_loss(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over ``labels`` (n,) of a frozen output layer (a scalar, fp32).

    ``hidden`` (n, h) are the states that predict them, ``head`` (vocabulary, h) the layer.
    """
    # torch gives Function.apply no types.
    loss: Tensor = _LabelLoss.apply(hidden, head, labels)  # type: ignore[no-untyped-call]
    return loss
