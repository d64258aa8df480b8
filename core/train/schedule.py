"""The learning rate as a pure function of the step, so that a resume needs no scheduler state."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup_ratio: float) -> float:
    """Linear warm-up to ``peak``, then half a cosine down to 0; ``step`` counts from 0.

    Source: SGDR (arXiv 1608.03983) with one cycle, as transformers' cosine schedule.
    """
    warmup = max(1, round(steps * warmup_ratio))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
