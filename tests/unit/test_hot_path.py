"""No step asks the device for a number, and so none waits for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training import Bench, step

from core.model.families import FAMILIES

# What makes a host wait for a card: values, and results whose size depends on them.
WAITING = {
    "aten._local_scalar_dense.default",
    "aten.nonzero.default",
    "aten.masked_select.default",
    "aten._unique2.default",
    "aten.unique_consecutive.default",
    "aten.equal.default",
    "aten.is_nonzero.default",
}
METHODS = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__")


class Watch(TorchDispatchMode):
    """Writes down every operation that would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indices = args[1] if str(func).startswith("aten.index") and len(args) > 1 else ()
        by_mask = isinstance(indices, (list, tuple)) and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices
        )
        if str(func) in WAITING or by_mask:
            self.waited.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("targets", ["language", "all"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_no_step_waits_for_the_device(
    tiny_families: dict[str, Path], model_type: str, targets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.of(tiny_families[model_type])
    trainable = bench.trainable(targets=targets, checkpointing="all")
    micro_batches = [bench.micro_batch(bench.samples()) for _ in range(2)]
    with Watch() as watch:
        for name in METHODS:
            stock = getattr(torch.Tensor, name)

            def told(
                tensor: torch.Tensor, *given: Any, stock: Any = stock, name: str = name
            ) -> Any:
                watch.waited.append(f"Tensor.{name}")
                return stock(tensor, *given)

            monkeypatch.setattr(torch.Tensor, name, told)
        outcome = step(trainable, micro_batches)
        waited = list(watch.waited)
        assert outcome.loss.item() > 0
        assert len(watch.waited) > len(waited), "the watch would see it"
    monkeypatch.undo()
    assert waited == []
