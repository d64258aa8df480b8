"""The order of samples: a pure function of seed and epoch, so a resume only needs a position."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
# Goes up when a function here gives another order: a run that goes on would take other rows.
ORDER_VERSION = 1


def epoch_order(seed: int, epoch: int, rows: int) -> Indices:
    """The permutation of ``rows`` row indices in which ``epoch`` (from 0) visits them."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)


def steps_per_epoch(rows: int, batch: int) -> int:
    """Optimizer steps an epoch; the last takes what is left, so that every row is used."""
    return -(-rows // batch)


def step_rows(seed: int, step: int, rows: int, batch: int) -> Indices:
    """The row indices of step ``step`` (from 0); fewer than ``batch`` at an epoch's end."""
    epoch, position = divmod(step, steps_per_epoch(rows, batch))
    return epoch_order(seed, epoch, rows)[position * batch : (position + 1) * batch]


def replacement(seed: int, epoch: int, rows: int, index: int, attempt: int) -> int:
    """The row that is taken for row ``index`` where that can't be read, at try ``attempt`` (1, …).

    It stands half an epoch away in the epoch's order, so that the two rarely meet in a step.
    """
    order = epoch_order(seed, epoch, rows)
    place = int(np.flatnonzero(order == index)[0])
    return int(order[(place + rows // 2 + attempt - 1) % rows])


def validation_order(seed: int, rows: int) -> Indices:
    """The permutation of the validation rows; its head is the fixed subset that selects."""
    return np.random.Generator(np.random.PCG64([seed, 0x76616C])).permutation(rows)
