"""Counts live tensor bytes as operations run, and enforces a limit: a small card on the CPU."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK_BYTES = 512


class LiveBytes(TorchDispatchMode):
    """While it's entered, every storage that an operation makes is counted until it's freed.

    Sizes are rounded up to 512 bytes as CUDA's caching allocator does. An operation that takes
    the total over ``limit_bytes`` raises torch.OutOfMemoryError, as a card would.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        # mypy's exclusion of torch doesn't reach a base class's constructor.
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here, and torch's guard against it costs as much as the counting.
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self._count(result)
        else:
            self.count(leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result

    def count(self, tensors: Iterable[torch.Tensor]) -> None:
        """Counts tensors that were made outside, such as weights and batches."""
        for tensor in tensors:
            self._count(tensor)

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES

        def freed(_reference: Any) -> None:
            del self._alive[key]
            self.used_bytes -= size

        self._alive[key] = weakref.ref(storage, freed)
        self.used_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        if self.limit_bytes is not None and self.used_bytes > self.limit_bytes:
            raise torch.OutOfMemoryError(
                f"{self.used_bytes} live bytes are over the limit of {self.limit_bytes}"
            )
