"""Distributions in a few numbers."""

import numpy as np
from numpy.typing import NDArray

from core.data.audit.report import Spread


def spread(values: NDArray[np.int64] | NDArray[np.float64]) -> Spread:
    """Mean, percentiles and maximum of ``values`` (n,), n > 0."""
    low, middle, high = np.percentile(values, (5, 50, 95), method="nearest").tolist()
    return Spread(
        mean=round(float(values.mean()), 2), p5=low, p50=middle, p95=high, max=values.max().item()
    )
