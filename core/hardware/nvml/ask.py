"""One question to NVML, which may go unanswered."""

from collections.abc import Callable
from typing import Any

import pynvml

LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)


def ask(function: Callable[..., Any], *arguments: Any) -> Any | None:
    """One NVML call; None where the card, the driver or the permissions do not answer it."""
    try:
        return function(*arguments)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None
