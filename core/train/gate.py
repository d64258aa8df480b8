"""No run learns with a part of its adapter out of the graph: refused after the first backward."""

import math

import torch

from core.errors import KocrError
from core.train.optimizer import Named

_NAMED_AT_MOST = 5


class GradientGate:
    """Looks at the gradients of the first step, once.

    A fresh ``lora_B`` is zero, and so is the gradient of its ``lora_A``; that is in order, and
    any other matrix without a gradient that isn't all zero is a fault: nothing would be learned
    there (peft#2880), and no loss curve would show it.
    """

    def __init__(self, parameters: Named) -> None:
        self._parameters = parameters
        self.passed = False

    def check(self) -> None:
        """Raises KocrError that names the modules at fault; does nothing once passed.

        A step that is not finite is skipped, so it's looked at again in the next one.
        """
        if self.passed:
            return
        largest = self._largest(gradients=True)
        if not all(math.isfinite(value) for value in largest):
            return
        at_fault = self._at_fault(largest)
        if at_fault:
            raise KocrError(_sentence(at_fault))
        self.passed = True

    def _largest(self, *, gradients: bool) -> list[float]:
        """The largest magnitude of each matrix or of its gradient; 0 where there is none."""
        device = self._parameters[0][1].device
        values = [value.grad if gradients else value for _name, value in self._parameters]
        found = [
            torch.zeros((), device=device) if value is None else value.detach().abs().max().float()
            for value in values
        ]
        largest: list[float] = torch.stack(found).tolist()
        return largest

    def _at_fault(self, largest: list[float]) -> list[str]:
        weights = dict(
            zip((n for n, _ in self._parameters), self._largest(gradients=False), strict=True)
        )
        faults = []
        for (name, _value), gradient in zip(self._parameters, largest, strict=True):
            excused = ".lora_A." in name and weights[name.replace(".lora_A.", ".lora_B.")] == 0
            if gradient == 0 and not excused:
                faults.append(name)
        return faults


def _sentence(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    shown = ", ".join(name.removeprefix("base_model.model.") for name in names[:_NAMED_AT_MOST])
    return (
        f"{len(names)} LoRA matrices have no gradient but zero after the first backward pass, so "
        f"they would learn nothing: {shown}{more}; choose other lora.targets"
    )
