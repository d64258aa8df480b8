"""Real learners on a tiny model and a few signs, on a CPU device whose tenants a test can move."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from training import stir

from core.config import (
    DataConfig,
    DeviceConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    Targets,
    TrainConfig,
    ValidationConfig,
)
from core.demo.signboards import write_dataset
from core.event_log import EventReader, EventWriter
from core.events import AnyEvent, RanOutOfMemory, Setup
from core.hardware.device import CpuDevice
from core.profile import load_profile
from core.run_dir import RunDir, create_run
from core.train.control import Control
from core.train.crew import Crew
from core.train.job import Job, open_job
from core.train.learner import Learner
from core.tune.worst_case import find_extremes, worst_photo

ROOM = 2**33
MAX_PIXELS = 40 * 784


class Signs:
    """A home with a data set; makes runs and learners on it.

    ``tenants`` is the file that says what others hold of the CPU device.
    """

    def __init__(self, home: Path, model: Path) -> None:
        self.home = home
        self.tenants = home / "tenants"
        self._model = model
        write_dataset(home / "signs", train=24, validation=8, seed=5)

    def leave(self, available: int) -> None:
        """Others take all but ``available`` bytes."""
        self.tenants.write_bytes((ROOM - available).to_bytes(8, "little"))

    def free(self) -> None:
        self.tenants.unlink(missing_ok=True)

    def job(
        self,
        *,
        dtype: str = "fp32",
        dropout: float = 0.0,
        targets: Targets = "language",
        data: dict[str, Any] | None = None,
        **train: Any,
    ) -> Job:
        settings = {"batch": 6, "epochs": 1, "checkpointing": "none", "loader_workers": 0}
        config = RunConfig(
            name="signs",
            model=ModelConfig(path=str(self._model), dtype=dtype),  # type: ignore[arg-type]
            data=DataConfig(
                train=str(self.home / "signs" / "train.jsonl"),
                validation=str(self.home / "signs" / "validation.jsonl"),
                **(data or {}),
            ),
            device=DeviceConfig(profile="cpu"),
            lora=LoraConfig(rank=4, dropout=dropout, targets=targets),
            train=TrainConfig(**{**settings, "learning_rate": 1e-3, "seed": 3, **train}),
            validation=ValidationConfig(max_new_tokens=8),
        )
        run = create_run(self.home / "runs", config)
        events = EventWriter(run.events_file)
        return open_job(run, config, load_profile("cpu"), events, Control(run, events))

    @contextmanager
    def learner(self, job: Job, budget: int | None = None) -> Iterator[tuple[Learner, CpuDevice]]:
        """A learner of a run whose micro-batches hold ``budget`` tokens (else: three signs)."""
        device = CpuDevice(ROOM, ROOM)
        with device.session():
            learner = Learner(job, setup_of(job, budget), device, Crew(0, 1))
            learner.parts.model.train()
            stir(learner.parts.model)
            yield learner, device


def setup_of(job: Job, budget: int | None) -> Setup:
    """What a probe would have certified."""
    text = job.processing.text
    extremes = find_extremes(job.train_rows, job.validation_rows, text.token_count)
    photo = worst_photo(extremes, job.processing.geometry, MAX_PIXELS)
    texts = text.token_count(extremes.prompt, extremes.answer)
    return Setup(
        weights="fp32",
        rank=4,
        targets="language",
        checkpointing="none",
        micro_batch_tokens=budget or 3 * (photo.image_tokens + texts),
        max_pixels=MAX_PIXELS,
        image_tokens=photo.image_tokens,
        text_tokens=texts,
    )


def events_of(run: RunDir) -> list[AnyEvent]:
    return EventReader(run.events_file).poll()


def remedies(run: RunDir) -> list[RanOutOfMemory]:
    return [event for event in events_of(run) if isinstance(event, RanOutOfMemory)]


def kept(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of weights and moments by name."""
    state = learner.parts.optimizer.state
    return {
        f"{name}.{kind}": tensor.detach().clone()
        for name, value in learner.parts.parameters
        for kind, tensor in {"weight": value, **state.get(value, {})}.items()
    }
