"""A loader process that is killed is replaced, and the steps are what they would have been."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from learners import Signs, events_of, kept
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from core.data.samples import Sample, SampleEncoder
from core.errors import DataGoneError
from core.events import LoaderDied
from core.train.job import Job

ROW = 7


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(autouse=True)
def _home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    # How often torch looks whether its workers live: every 5 s.
    look = _MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(look, "__defaults__", (0.2,))
    return iter([None])


@pytest.fixture
def at_row(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has a loader process do something whenever it comes to a certain photo."""
    stock = SampleEncoder.read
    parent = os.getpid()

    def arm(action: Callable[[], object]) -> None:
        def read(self: SampleEncoder, row: Any, *given: Any, **settings: Any) -> Sample:
            if Path(row.image).stem == f"{ROW:06d}" and os.getpid() != parent:
                action()
            return stock(self, row, *given, **settings)

        monkeypatch.setattr(SampleEncoder, "read", read)

    return arm


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def trained(signs: Signs, job: Job) -> dict[str, torch.Tensor]:
    """Weights and moments after an epoch, and the tokens that it was trained on."""
    tokens = {}
    with signs.learner(job) as (learner, _device):
        for step, micro_batches in enumerate(learner.steps_from(0)):
            tokens[f"step {step}"] = torch.cat([m.batch.input_ids for m in micro_batches], dim=-1)
            learner.learn(step, micro_batches)
        return kept(learner) | tokens


def load(signs: Signs, job: Job) -> None:
    with signs.learner(job) as (learner, _device):
        for micro_batches in learner.steps_from(0):
            micro_batches.clear()


def job_of(signs: Signs) -> Job:
    return signs.job(batch=4, loader_workers=2, dropout=0.1)


def test_a_killed_loader_changes_nothing(
    signs: Signs, at_row: Callable[..., None], tmp_path: Path
) -> None:
    undisturbed = trained(signs, job_of(signs))
    job, once = job_of(signs), tmp_path / "once"

    def die_once() -> None:
        if not once.exists():
            once.touch()
            die(signal.SIGKILL)

    at_row(die_once)
    ours = trained(signs, job)
    assert all(torch.equal(ours[name], value) for name, value in undisturbed.items())
    [event] = [event for event in events_of(job.run) if isinstance(event, LoaderDied)]
    assert "was killed by SIGKILL" in event.message
    assert 1 <= event.step <= 6


def test_a_row_that_kills_every_loader_ends_the_run_with_its_step(
    signs: Signs, at_row: Callable[..., None]
) -> None:
    job = job_of(signs)
    at_row(lambda: die(signal.SIGSEGV))
    with pytest.raises(DataGoneError) as ended:
        load(signs, job)
    died = [event.step for event in events_of(job.run) if isinstance(event, LoaderDied)]
    step = died[-1]
    assert died.count(step) == 2, "the third is the last word"
    words = str(ended.value)
    assert f"train.jsonl: loading step {step} failed 3 times" in words
    assert "killed by SIGSEGV" in words
    lines = words.partition("its rows are ")[2].partition(";")[0].split(", ")
    assert str(ROW) in lines
    assert len(lines) == 4
