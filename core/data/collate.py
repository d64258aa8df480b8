"""Samples together as arrays, with every index that the device needs.

Indices are worked out here, in the loader's processes, so that no step on the device waits to
learn where images and labels are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.samples import Sample

# Tensor cores want row counts that are a multiple of this.
ROW_MULTIPLE = 8


@dataclass(frozen=True)
class PackedRow:
    """``n`` samples one after another in a row of ``t`` tokens, padding at its end included.

    ``input_ids`` (t,); ``positions`` (3, t), from 0 in every sample; ``ends`` (segments + 1,)
    where samples end, 0 first, the padding being the last segment if there is any. ``patches``
    (p, bytes) and ``grids`` (m, 3, in patches) of the m photos whose features have to be computed;
    ``features`` (image tokens, bytes) of the others, from the cache. ``image_index`` are the
    places of all image tokens, those of computed features first; ``label_index`` the places that
    predict a label, ``labels`` the token ids they should predict.
    """

    input_ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    ends: NDArray[np.int32]
    patches: NDArray[np.uint8]
    grids: NDArray[np.int64]
    features: NDArray[np.uint8]
    image_index: NDArray[np.int64]
    label_index: NDArray[np.int64]
    labels: NDArray[np.int64]


def collate(samples: list[Sample], pad_token_id: int, multiple: int = ROW_MULTIPLE) -> PackedRow:
    """One packed row of the samples, in their order, padded to a multiple of tokens."""
    ends = np.cumsum([0, *(len(sample) for sample in samples)])
    padding = -int(ends[-1]) % multiple
    starts = dict(zip(map(id, samples), ends[:-1].tolist(), strict=True))
    computed = [sample for sample in samples if sample.features is None]
    cached = [sample for sample in samples if sample.features is not None]
    label_index = [
        np.arange(end - sample.label_tokens, end) - 1
        for sample, end in zip(samples, ends[1:].tolist(), strict=True)
    ]
    return PackedRow(
        input_ids=np.concatenate(
            [*(sample.token_ids for sample in samples), np.full(padding, pad_token_id)]
        ),
        positions=np.concatenate(
            [*(sample.positions for sample in samples), np.zeros((3, padding), np.int64)], axis=1
        ),
        ends=np.array([*ends, ends[-1] + padding] if padding else ends, dtype=np.int32),
        patches=_join([sample.patches for sample in computed], np.zeros((0, 0), np.uint8)),
        grids=np.array([sample.grid for sample in computed], dtype=np.int64).reshape(-1, 3),
        features=_join(
            [sample.features for sample in cached if sample.features is not None],
            np.zeros((0, 0), np.uint8),
        ),
        image_index=np.concatenate(
            [
                starts[id(sample)] + sample.image_start + np.arange(sample.image_tokens)
                for sample in (*computed, *cached)
            ]
        ),
        label_index=np.concatenate(label_index),
        labels=np.concatenate(
            [sample.token_ids[len(sample) - sample.label_tokens :] for sample in samples]
        ),
    )


def _join(arrays: list[NDArray[Any]], nothing: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else nothing


@dataclass(frozen=True)
class PromptBatch:
    """``n`` prompts padded on the left to ``t`` tokens, to generate from.

    ``input_ids``, ``attention_mask`` (1 for real tokens) and ``token_types`` (1 for image tokens)
    are (n, t); ``patches`` (p, bytes) of all photos; ``grids`` (n, 3) in patches.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_types: NDArray[np.int64]
    patches: NDArray[np.uint8]
    grids: NDArray[np.int64]


def collate_prompts(samples: list[Sample], pad_token_id: int) -> PromptBatch:
    """The prompts side by side."""
    shape = len(samples), max(len(sample) for sample in samples)
    input_ids = np.full(shape, pad_token_id, dtype=np.int64)
    mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, sample in enumerate(samples):
        start = shape[1] - len(sample)
        input_ids[row, start:] = sample.token_ids
        mask[row, start:] = 1
        first = start + sample.image_start
        types[row, first : first + sample.image_tokens] = 1
    return PromptBatch(
        input_ids=input_ids,
        attention_mask=mask,
        token_types=types,
        patches=np.concatenate([sample.patches for sample in samples]),
        grids=np.array([sample.grid for sample in samples], dtype=np.int64),
    )
