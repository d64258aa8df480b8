"""Counts the memory of operations that run on fake tensors: shapes without values."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    FakeTensor,
    FakeTensorMode,
    in_kernel_invocation_manager,
)
from torch.utils._pytree import tree_leaves, tree_map

from core.hardware.live_bytes import BLOCK_BYTES

Kind = Literal["weights", "adapter", "optimizer", "activations", "logits", "kv_cache"]
KINDS: tuple[Kind, ...] = ("weights", "adapter", "optimizer", "activations", "logits", "kv_cache")
ByKind = dict[Kind, int]
_DEVICE = torch.ops.prim.device.default
_CPU = torch.device("cpu")


class Ledger:
    """Live bytes by kind, and the highest total of every phase with its split.

    Sizes are rounded up to 512 bytes as CUDA's caching allocator does. A tensor whose last
    dimension is ``vocabulary`` counts as logits, any other that an operation makes as activations.
    """

    def __init__(self, vocabulary: int) -> None:
        self.used: ByKind = dict.fromkeys(KINDS, 0)
        self.used_bytes = 0
        self.peaks: dict[str, ByKind] = {}
        self.phase = "load"
        self._highest = 0
        self._vocabulary = vocabulary
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], int, Kind]] = {}

    def enter(self, phase: str) -> None:
        """What follows counts for ``phase``, with what is alive already."""
        self.phase = phase
        found = self.peaks.setdefault(phase, dict.fromkeys(KINDS, 0))
        self._highest = sum(found.values())
        self._look()

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Counts what operations made."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._alive:
                of_words = tensor.ndim > 0 and tensor.shape[-1] == self._vocabulary
                self._add(storage, "logits" if of_words else "activations")

    def name(self, tensors: Iterable[Tensor], kind: Kind) -> None:
        """Counts tensors as a kind of their own, also those that were counted already."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            known = self._alive.get(storage._cdata)
            if known is None:
                self._add(storage, kind)
            else:
                reference, size, before = known
                self.used[before] -= size
                self.used[kind] += size
                self._alive[storage._cdata] = reference, size, kind

    def _add(self, storage: torch.UntypedStorage, kind: Kind) -> None:
        key = storage._cdata
        size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES

        def freed(_reference: Any) -> None:
            _gone, size, kind = self._alive.pop(key)
            self.used[kind] -= size
            self.used_bytes -= size

        self._alive[key] = weakref.ref(storage, freed), size, kind
        self.used[kind] += size
        self.used_bytes += size
        self._look()

    def _look(self) -> None:
        if self.used_bytes > self._highest:
            self._highest = self.used_bytes
            self.peaks[self.phase] = dict(self.used)


class CountedFakes(FakeTensorMode):
    """torch's fake tensors, with every storage that an operation makes counted in a ledger.

    Of operations inside operations only the outermost is counted, as on a real device, where a
    dispatch mode can't see into kernels either.
    """

    _made: ClassVar[dict[Any, tuple[torch.Size, tuple[int, ...], torch.dtype]]] = {}

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._depth = 0
        self._indirect: set[Any] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here, and torch's guard against it costs a good part of a trace.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Any = None,
    ) -> Any:
        # Autograd asks for devices more often than for anything else.
        if func is _DEVICE:
            return args[0].fake_device
        self._depth += 1
        try:
            result = self._run(func, types, args, kwargs or {})
        finally:
            self._depth -= 1
        if self._depth == 0:
            if isinstance(result, Tensor):
                self._ledger.count((result,))
            elif isinstance(result, tuple | list):
                self._ledger.count(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _run(
        self, func: Any, types: Sequence[type], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """The operation's own meta kernel where it has one, else torch's way, which looks further.

        All fakes here are on one device, so that of torch's care about devices nothing is needed;
        it takes most of a trace's time.
        """
        if self._depth > 1 or func in self._indirect or not _only_fakes(args, kwargs):
            return super().__torch_dispatch__(func, types, args, kwargs)
        key = None if _aliases(func) else _key(func, args, kwargs)
        if key in self._made:
            shape, stride, dtype = self._made[key]
            made = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
            return self._fake(made)
        try:
            with in_kernel_invocation_manager(self):
                result = func(*args, **kwargs)
        except NotImplementedError:
            self._indirect.add(func)
            return super().__torch_dispatch__(func, types, args, kwargs)
        if isinstance(result, tuple | list):
            return tree_map(self._fake, result)
        if key is not None and not _shares(result, args):
            self._made[key] = result.shape, result.stride(), result.dtype
        return self._fake(result)

    def _fake(self, made: Any) -> Any:
        if not isinstance(made, Tensor) or isinstance(made, FakeTensor):
            return made
        return FakeTensor(self, made, _CPU)

    @contextmanager
    def uncounted(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Makes fakes that are only counted once they are named; gives a way to make them."""
        self._depth += 1
        try:
            with self:
                yield self.from_tensor
        finally:
            self._depth -= 1


def _only_fakes(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether there are tensors among the arguments, all of them fakes, and no device is named."""
    if kwargs.get("device") is not None:
        return False
    found = False
    for value in args:
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, Tensor):
                if not isinstance(one, FakeTensor):
                    return False
                found = True
            elif isinstance(one, torch.device):
                return False
    return found


@cache
def _aliases(func: Any) -> bool:
    """Whether a result may share memory with what was given, or isn't one tensor."""
    schema = func._schema
    plain = len(schema.returns) == 1 and str(schema.returns[0].type) == "Tensor"
    return not plain or any(one.alias_info is not None for one in schema.arguments)


def _key(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What the shape of an operation's result follows from; the layers of a model repeat it."""
    return func, tuple(map(_shape, args)), tuple(map(_shape, kwargs.items()))


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, tuple | list):
        return tuple(map(_shape, value))
    return value


def _shares(result: Tensor, args: Sequence[Any]) -> bool:
    """Whether a result lies in an argument's memory after all, as that of ``_unsafe_view`` does."""
    own = result.untyped_storage()._cdata
    return any(isinstance(one, Tensor) and one.untyped_storage()._cdata == own for one in args)
