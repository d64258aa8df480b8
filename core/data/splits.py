"""Training and validation rows, so that nothing stands on both sides."""

import hashlib
from collections.abc import Hashable, Sequence

_SIDES = float(2**64)


def groups(keys: Sequence[Sequence[Hashable]]) -> list[int]:
    """The group of every row, named by its first row; rows that share a key share a group."""
    parents = list(range(len(keys)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    owners: dict[Hashable, int] = {}
    for row, own in enumerate(keys):
        for key in own:
            first, second = sorted((root(row), root(owners.setdefault(key, row))))
            parents[second] = first
    return [root(row) for row in range(len(keys))]


def is_validation(name: str, share: float, seed: int) -> bool:
    """Whether the group called ``name`` is for validation: a share (0 to 1) of all names."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / _SIDES < share
