"""Samples side by side as one micro-batch of arrays, with every index the step needs.

Indices are worked out here, in the loader's processes, so that no step on the device waits to
learn where images and labels are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.samples import Sample


@dataclass(frozen=True)
class Batch:
    """``n`` samples padded to ``t`` tokens.

    ``input_ids`` (n, t); ``positions`` (3, n, t); ``attention_mask`` (n, t) 1 for real tokens;
    ``patches`` (p, bytes) of all photos; ``grids`` (n, 3) in patches. Of the flattened n * t
    tokens: ``image_index`` those that are image tokens, ``label_index`` those that predict a
    label, ``labels`` the token ids they should predict.
    """

    input_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    patches: NDArray[np.uint8]
    grids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    label_index: NDArray[np.int64]
    labels: NDArray[np.int64]


def collate(samples: list[Sample], pad_token_id: int, *, pad_left: bool = False) -> Batch:
    """Pads on the right to train, on the left to generate."""
    longest = max(len(sample) for sample in samples)
    count = len(samples)
    input_ids = np.full((count, longest), pad_token_id, dtype=np.int64)
    positions = np.zeros((3, count, longest), dtype=np.int64)
    mask = np.zeros((count, longest), dtype=np.int64)
    image_index, label_index, labels = [], [], []
    for row, sample in enumerate(samples):
        start = longest - len(sample) if pad_left else 0
        span = slice(start, start + len(sample))
        input_ids[row, span] = sample.token_ids
        positions[:, row, span] = sample.positions
        mask[row, span] = 1
        flat = row * longest + start
        first = flat + sample.image_start
        image_index.append(np.arange(first, first + sample.image_tokens))
        answer = len(sample) - sample.label_tokens
        label_index.append(np.arange(flat + answer, flat + len(sample)) - 1)
        labels.append(sample.token_ids[answer:])
    return Batch(
        input_ids=input_ids,
        positions=positions,
        attention_mask=mask,
        patches=np.concatenate([sample.patches for sample in samples]),
        grids=np.array([sample.grid for sample in samples], dtype=np.int64),
        image_index=np.concatenate(image_index).astype(np.int64),
        label_index=np.concatenate(label_index).astype(np.int64),
        labels=np.concatenate(labels).astype(np.int64),
    )
