"""A step that is not finite changes nothing, and training goes on, goes back or ends."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from learners import ROOM, Signs, events_of, kept, setup_of
from training import Bench, step

from core.errors import KocrError, StoppedError
from core.event_log import EventWriter
from core.events import NotFinite, RolledBack, Step
from core.hardware.device import CpuDevice
from core.run_dir import RunDir
from core.train import learner, loop
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import TrainerState
from core.train.control import Control
from core.train.crew import Crew
from core.train.job import Job
from core.train.setup import Precision, Trainable
from core.train.step import StepOutcome

SEED = 3
STEPS = 12
Spoil = Callable[[torch.Tensor], torch.Tensor]


def as_loss(summed: torch.Tensor) -> torch.Tensor:
    return summed * math.nan


def as_gradient(summed: torch.Tensor) -> torch.Tensor:
    summed.register_hook(lambda gradient: gradient * math.inf)
    return summed


def spoiled(trainable: Trainable, spoil: Spoil) -> Trainable:
    """The same parts, whose loss or gradient is not finite."""
    forward = trainable.step_forward
    return replace(trainable, step_forward=lambda *given: spoil(forward(*given)))


@pytest.fixture(scope="module")
def bench(tiny_model_folder: Path) -> Bench:
    return Bench.of(tiny_model_folder)


def state_of(trainable: Trainable) -> dict[str, torch.Tensor]:
    return kept(cast(Any, SimpleNamespace(parts=trainable)))


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("spoil", [as_loss, as_gradient])
@pytest.mark.parametrize("kind", ["fused", "plain", "fp16"])
def test_a_step_that_is_not_finite_leaves_weights_and_moments(
    bench: Bench, kind: str, spoil: Spoil
) -> None:
    half = Precision("fp16", "fp16")
    trainable = bench.trainable(
        precision=half if kind == "fp16" else Precision("fp32", "fp32"), weight_decay=0.1
    )
    for group in trainable.optimizer.param_groups:
        group["fused"] = kind != "plain"
    if kind == "fp16":
        trainable.scaler.load_state_dict({**trainable.scaler.state_dict(), "scale": 2.0**10})
    micro = bench.micro_batch(bench.samples())
    step(trainable, [micro])
    before = state_of(trainable)
    outcome = step(spoiled(trainable, spoil), [micro])
    assert math.isfinite(outcome.loss.item()) == (spoil is as_gradient)
    assert not math.isfinite(float(outcome.grad_norm))
    assert_equal(state_of(trainable), before)
    step(trainable, [micro])
    changed = state_of(trainable)
    assert all(bool((changed[name] != value).any()) for name, value in before.items())


class Spoiler:
    """Spoils steps (from 1) of all trainers in this process, and hears of each that is computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bad: Callable[[int], bool] = lambda _number: False
        self.spoil: Spoil = as_loss
        self.hear: Callable[[int], object] = lambda _number: None
        self._stock = learner.run_step
        monkeypatch.setattr(learner, "run_step", self._run_step)

    def _run_step(
        self, trainable: Trainable, *given: Any, seed: int, **settings: Any
    ) -> StepOutcome:
        number = seed - SEED * 1_000_003 + 1
        parts = spoiled(trainable, self.spoil) if self.bad(number) else trainable
        outcome = self._stock(parts, *given, seed=seed, **settings)
        self.hear(number)
        return outcome


@pytest.fixture
def spoiler(monkeypatch: pytest.MonkeyPatch) -> Spoiler:
    return Spoiler(monkeypatch)


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(autouse=True)
def _home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    return iter([None])


def job_of(signs: Signs) -> Job:
    return signs.job(batch=2, seed=SEED, dropout=0.1)


def train(job: Job) -> None:
    device = CpuDevice(ROOM, ROOM)
    certificate = cast(Any, SimpleNamespace(setup=setup_of(job, None)))
    with device.session():
        loop.train(job, certificate, device, Crew(0, 1))


def again(job: Job) -> Job:
    """The same run with another worker."""
    events = EventWriter(job.run.events_file)
    return replace(job, events=events, control=Control(job.run, events))


def last(run: RunDir) -> dict[str, bytes]:
    """The bytes of the last checkpoint's adapter and optimizer."""
    path = checkpoint.path_of(run.checkpoints, STEPS)
    names = ("adapter/adapter_model.safetensors", "optimizer.safetensors")
    return {name: (path / name).read_bytes() for name in names}


def state(run: RunDir) -> TrainerState:
    found, _passed_over = checkpoint.newest(run.checkpoints)
    assert found is not None
    return checkpoint.read_state(found)


def told(run: RunDir, kind: type[Any]) -> list[Any]:
    return [event for event in events_of(run) if isinstance(event, kind)]


@pytest.fixture
def without_5_to_9(signs: Signs, spoiler: Spoiler) -> dict[str, bytes]:
    """What is left by a run whose steps 5 to 9 were never computed."""
    job = job_of(signs)

    def pass_over(self: loop.Trainer) -> None:
        numbers = self._numbers.state
        self._numbers.state = type(numbers)(passed_over=(5, 6, 7, 8, 9))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "resume", pass_over)
        computed: list[int] = []
        spoiler.hear = computed.append
        train(job)
    spoiler.hear = lambda _number: None
    assert computed == [1, 2, 3, 4, 10, 11, 12]
    return last(job.run)


def test_a_run_skips_a_step_and_resumes_to_the_same_bytes(signs: Signs, spoiler: Spoiler) -> None:
    spoiler.bad, spoiler.spoil = {4, 6}.__contains__, as_gradient
    whole, parted = job_of(signs), job_of(signs)
    train(whole)
    assert [(e.step, e.what, e.in_a_row, e.total) for e in told(whole.run, NotFinite)] == [
        (4, "gradient", 1, 1),
        (6, "gradient", 1, 2),
    ]
    assert [event.step for event in told(whole.run, Step)] == [1, 2, 3, 5, *range(7, 13)]
    assert told(whole.run, RolledBack) == []
    spoiler.hear = lambda number: number == 6 and parted.run.request("stop")
    with pytest.raises(StoppedError):
        train(parted)
    assert (state(parted.run).step, state(parted.run).numbers.in_a_row) == (6, 1)
    train(again(parted))
    assert last(parted.run) == last(whole.run)
    assert state(parted.run).numbers == state(whole.run).numbers


def test_five_in_a_row_go_back_to_the_last_checkpoint_and_are_passed_over(
    signs: Signs, spoiler: Spoiler, without_5_to_9: dict[str, bytes]
) -> None:
    job = job_of(signs)
    spoiler.bad = range(5, 10).__contains__
    computed: list[int] = []

    def hear(number: int) -> None:
        computed.append(number)
        if number == 2:
            job.run.request("checkpoint")
        if number == 7 and len(computed) == 7:
            job.run.request("stop")

    spoiler.hear = hear
    with pytest.raises(StoppedError):
        train(job)
    saved = state(job.run)
    assert (saved.step, saved.numbers.in_a_row, saved.numbers.bad) == (7, 3, (5, 6, 7))
    train(again(job))
    [back] = told(job.run, RolledBack)
    to = back.to_step
    assert to in {2, 3}, "a checkpoint in the middle of the row is no good one"
    assert back.message.endswith(" 5-9")
    assert computed == [*range(1, 11), *range(to + 1, 5), 10, 11, 12]
    assert last(job.run) == without_5_to_9
    assert state(job.run).numbers.total == 5


def test_without_a_checkpoint_it_begins_anew_once_and_ends_with_the_reason(
    signs: Signs, spoiler: Spoiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(signs)
    first: list[dict[str, torch.Tensor]] = []
    spoiler.bad = lambda number: number >= 3
    stock = learner.Learner.go_back

    def go_back(self: learner.Learner, path: Path | None) -> None:
        assert path is None
        stock(self, path)
        first.append(kept(self))

    monkeypatch.setattr(learner.Learner, "go_back", go_back)
    with pytest.raises(KocrError, match=r"^step 12: ") as ended:
        train(job)
    assert "again after training went back to step 0; lower train.learning_rate" in str(ended.value)
    assert [event.step for event in told(job.run, NotFinite)] == list(range(3, 13))
    [back] = told(job.run, RolledBack)
    assert (back.to_step, back.message.endswith("3-7")) == (0, True)
    assert list(job.run.checkpoints.iterdir()) == []
    device = CpuDevice(ROOM, ROOM)
    with device.session():
        fresh = learner.Learner(job_of(signs), setup_of(job, None), device, Crew(0, 1))
        assert_equal(first[0], kept(fresh))


def test_weights_that_are_not_finite_are_not_saved(signs: Signs, tmp_path: Path) -> None:
    with signs.learner(job_of(signs)) as (learning, _device):
        learning.write(tmp_path)
        written = sorted(path.name for path in tmp_path.iterdir())
        with torch.no_grad():
            learning.parts.parameters[0][1].view(-1)[0] = math.inf
        with pytest.raises(KocrError, match="weights are not finite, so they are not saved"):
            learning.write(tmp_path / "worse")
        assert sorted(path.name for path in tmp_path.iterdir()) == written
