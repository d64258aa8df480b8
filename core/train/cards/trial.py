"""Whether a device computes, and computes rightly: ``python -m core.train.cards.trial DEVICE N``.

It tries the first N cards, each in turn; the exit code is 0 or 1, and why is one line.
"""

import sys

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import KocrError, first_line

_SIZE = 512
_MEMORY_BYTES = 64 << 20


def try_device(device: torch.device) -> None:
    """Moves data there and back, multiplies matrices and computes gradients.

    All numbers are small and whole, so that every sum is exact in float32 and TF32 in any order,
    and every bit must be as numpy has it. Raises KocrError if one isn't, and what torch raises if
    the device doesn't work at all.
    """
    random = np.random.default_rng(0)
    data = random.integers(0, 256, _MEMORY_BYTES, dtype=np.uint8)
    if not np.array_equal(torch.from_numpy(data).to(device).clone().cpu().numpy(), data):
        raise KocrError(f"{device}: its memory gives back other bytes than it was given")
    left, right, weight = (
        random.integers(-1, 2, (_SIZE, _SIZE)).astype(np.float64) for _ in range(3)
    )
    first, second, third = (
        torch.tensor(one, dtype=torch.float32, device=device, requires_grad=True)
        for one in (left, right, weight)
    )
    product = first @ second
    (product * third).sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    _compare(device, "a matrix product", product, left @ right)
    _compare(device, "its gradient", first.grad, weight @ right.T)
    _compare(device, "its gradient", second.grad, left.T @ weight)


def _compare(
    device: torch.device, what: str, found: torch.Tensor, expected: NDArray[np.float64]
) -> None:
    wrong = int((found.detach().cpu().numpy() != expected).sum())
    if wrong:
        raise KocrError(f"{device}: {wrong:,} of {expected.size:,} numbers of {what} are wrong")


def main(arguments: list[str]) -> int:
    """Tries the devices; an error is one line."""
    kind, count = arguments[0], int(arguments[1])
    try:
        for index in range(count):
            try_device(torch.device(kind, index))
    except Exception as error:
        # Whatever it is, the device didn't pass, and people get one line.
        print(first_line(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
