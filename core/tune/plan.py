"""The tracer: what the true training step takes at its peak, with no weights and no card.

The step and the generation that a probe would run are run on fake tensors (torch's FakeTensorMode:
shapes without values), and every storage that they make is counted while it's alive.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from core.config import LoraConfig, TrainConfig
from core.data.collate import collate_prompts
from core.data.samples import Sample
from core.model.step import compute_dtype, mixed
from core.model.vision import Tower
from core.train.loading.micro_batch import MicroBatch
from core.train.setup import Precision
from core.train.step import run_step
from core.tune.cuda_rules import cuda_rules
from core.tune.fake_generation import FakePrompts, generate
from core.tune.fake_model import Architecture, fake_trainable
from core.tune.ledger import ByKind, CountedFakes, Ledger

Kernels = Literal["cpu", "sdpa", "varlen"]
_LOADED = ("load", "idle")


@dataclass(frozen=True)
class Traced:
    """Peak bytes of each phase (vision, forward, backward, optimizer, generation), by kind."""

    phases: dict[str, ByKind]

    @property
    def highest(self) -> str:
        """The phase with the highest peak."""
        return max(self.phases, key=lambda phase: sum(self.phases[phase].values()))

    @property
    def peak_bytes(self) -> int:
        """The highest total of live bytes."""
        return sum(self.by_kind.values())

    @property
    def by_kind(self) -> ByKind:
        """What is alive at that moment."""
        return self.phases[self.highest]

    @property
    def by_phase(self) -> dict[str, int]:
        """Peak bytes of each phase."""
        return {phase: sum(kinds.values()) for phase, kinds in self.phases.items()}


class Tracer:
    """One model with one adapter under one setup, traced for as many inputs as wished.

    ``kernels`` are those of attention and of autocast's rules: the CPU's, a card's SDPA, or a
    card's varlen kernel.
    """

    def __init__(
        self,
        architecture: Architecture,
        precision: Precision,
        lora: LoraConfig,
        train: TrainConfig,
        kernels: Kernels,
    ) -> None:
        self._architecture = architecture
        self._settings = precision, lora, train
        self._kernels = kernels
        self._tower = Tower.of(architecture.family, architecture.config)

    def trace(
        self,
        samples: Sequence[Sample],
        prompts: Sequence[Sample],
        new_tokens: int,
        row_tokens: int = 0,
    ) -> Traced:
        """A step on a packed row of ``samples``, then generation of ``new_tokens`` on ``prompts``.

        Samples may be blank; no ``prompts`` leaves generation out. The row is padded to
        ``row_tokens`` where it's shorter.
        """
        ledger = Ledger(self._architecture.vocabulary)
        fakes = CountedFakes(ledger)
        parts = fake_trainable(self._architecture, *self._settings, fakes, ledger)
        micro = MicroBatch.of(samples, 0, self._tower, fill=row_tokens)
        with fakes.uncounted() as fake:
            micro_batches = [replace(micro, batch=micro.batch.map(fake))]
        del micro
        asked = self._fake_prompts(prompts, fakes) if prompts else None
        with self._rules(), fakes:
            run_step(parts, micro_batches, seed=0, learning_rate=1e-4, max_grad_norm=1.0)
            if asked is not None:
                ledger.enter("generation")
                parts.base.eval()
                with mixed(torch.device("cpu"), compute_dtype(parts.base)):
                    generate(parts.base, self._architecture.pixels, asked, new_tokens, ledger)
        return Traced({name: kinds for name, kinds in ledger.peaks.items() if name not in _LOADED})

    def _fake_prompts(self, prompts: Sequence[Sample], fakes: CountedFakes) -> FakePrompts:
        batch = collate_prompts(list(prompts), 0)
        return FakePrompts.of(batch, self._tower.layout(torch.from_numpy(batch.grids)), fakes)

    def _rules(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._kernels == "cpu" else cuda_rules(self._kernels)
