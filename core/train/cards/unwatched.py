"""Errors of CUDA in a process that doesn't watch its card: the one that started it does."""

import contextlib
from collections.abc import Iterator

from core.errors import GpuLostError, first_line
from core.hardware.cuda_error import context_is_lost, is_cuda_error
from core.train.cards.health import cuda_words


@contextlib.contextmanager
def lost_card_in_one_line(name: str) -> Iterator[None]:
    """Raises GpuLostError where CUDA does nothing more in this process; ``name`` is the card's."""
    try:
        yield
    except RuntimeError as error:
        if not (is_cuda_error(error) and context_is_lost()):
            raise
        raise GpuLostError(cuda_words(name, first_line(error))) from error
