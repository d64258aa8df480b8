"""Perceptual hashes that differ in few bits, found without comparing each with each."""

import itertools

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]


def near_pairs(hashes: Hashes, distance: int) -> Pairs:
    """Index pairs (p, 2), first below second, of distinct ``hashes`` (n,) that are near.

    Near is a Hamming distance of 1 to ``distance`` of the 64 bits. Of ``distance`` + 1 bands of
    bits at least one is the same in such a pair (the pigeonhole principle), so only hashes that
    share a band are compared.
    """
    found = [
        _pairs_in_band(hashes, shift, width, distance) for shift, width in _bands(distance + 1)
    ]
    return np.unique(np.concatenate(found), axis=0)


def _bands(count: int) -> list[tuple[int, int]]:
    edges = [64 * number // count for number in range(count + 1)]
    return [(low, high - low) for low, high in itertools.pairwise(edges)]


def _pairs_in_band(hashes: Hashes, shift: int, width: int, distance: int) -> Pairs:
    mask = np.uint64((1 << width) - 1)
    band = (hashes >> np.uint64(shift)) & mask
    order = np.argsort(band, kind="stable")
    band, sorted_hashes = band[order], hashes[order]
    pairs = [np.empty((0, 2), dtype=np.int64)]
    left = np.arange(len(hashes) - 1)
    for step in range(1, len(hashes)):
        left = left[left + step < len(hashes)]
        left = left[band[left] == band[left + step]]
        if not len(left):
            break
        apart = np.bitwise_count(sorted_hashes[left] ^ sorted_hashes[left + step])
        close = left[(apart > 0) & (apart <= distance)]
        pairs.append(np.sort(np.column_stack((order[close], order[close + step])), axis=1))
    return np.concatenate(pairs).astype(np.int64)
