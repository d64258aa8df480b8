"""Training goes on when its disk is full, says so, and saves when there is room again."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from checkpoints import names, state_at
from faults import files_of_at_most, fill, small_disk
from learners import Signs, events_of, kept
from peft import PeftModel
from transformers import Qwen2VLForConditionalGeneration

from core.contract import Keys
from core.errors import KocrError, StoppedError
from core.evaluate.text import Scores
from core.event_log import EventWriter
from core.events import CheckpointSaved, SaveFailed
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint, saving
from core.train.checkpoints.checkpoint import Best
from core.train.checkpoints.saving import Saver
from core.train.control import Control
from core.train.job import Job
from core.train.learner import Learner
from core.train.numbers import Numbers

NOBODY = Scores.of([])


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signs]:
    home = tmp_path_factory.mktemp("signs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOCR_HOME", str(home))
        yield Signs(home, tiny_model_folder)


@pytest.fixture(scope="module")
def first_job(signs: Signs) -> Job:
    return signs.job(checkpoint_steps=5)


@pytest.fixture(scope="module")
def learner(signs: Signs, first_job: Job) -> Iterator[Learner]:
    with signs.learner(first_job) as (learner, _device):
        learner.learn(0, next(iter(learner.steps_from(0))))
        yield learner


@pytest.fixture
def job(first_job: Job, tmp_path: Path) -> Job:
    """The same job in a run folder of the test's own."""
    return job_in(tmp_path / "run", first_job)


def job_in(folder: Path, job: Job) -> Job:
    folder.mkdir()
    run = RunDir(folder)
    events = EventWriter(run.events_file)
    return replace(job, run=run, events=events, control=Control(run, events))


def failed(job: Job) -> list[SaveFailed]:
    return [event for event in events_of(job.run) if isinstance(event, SaveFailed)]


def saved(job: Job) -> list[int]:
    return [event.step for event in events_of(job.run) if isinstance(event, CheckpointSaved)]


def ask(job: Job, request: str) -> None:
    job.run.request(request)  # type: ignore[arg-type]
    job.control._poll()


def test_a_full_disk_is_told_and_tried_again_until_there_is_room(
    job: Job, learner: Learner, tmp_path: Path, first_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = learner.checkpoint_bytes()
    with small_disk(tmp_path / "disk", 4 * size + (1 << 20)) as disk:
        job = job_in(disk / "run", first_job)
        saver = Saver(job, learner)
        assert saver.save(state_at(1))
        filler = fill(disk, left=size // 2)
        assert not saver.save(state_at(2))
        [event] = failed(job)
        assert (event.step, event.retry_s) == (2, 60.0)
        assert event.free_bytes is not None
        assert event.free_bytes < size
        assert "MiB are free" in event.message
        assert saver.failing
        assert not saver.due(3), "it's not tried at every step"
        monkeypatch.setattr(saver, "_retry_at", 0.0)
        assert saver.due(3)
        assert not saver.save(state_at(3))
        assert not saver.due(4)
        ask(job, "checkpoint")
        filler.unlink()
        assert saver.due(4)
        assert saver.save(state_at(4))
        assert not saver.failing
        assert not saver.due(5)
        assert saved(job) == [1, 4]
        assert names(job.run.checkpoints) == ["step-00000001", "step-00000004"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_disk_that_fills_up_while_it_saves_leaves_no_half_checkpoint(
    job: Job, learner: Learner, share: float
) -> None:
    """The room looked enough; then files could not grow beyond a size."""
    saver = Saver(job, learner)
    assert saver.save(state_at(1))
    largest = (job.run.checkpoints / "step-00000001" / "optimizer.safetensors").stat().st_size
    events = job.run.events_file.stat().st_size
    with files_of_at_most(max(int(largest * share), events + 2048)):
        assert not saver.save(state_at(2))
    [event] = failed(job)
    assert "step-00000002: can't save the checkpoint: " in event.message
    assert "\n" not in event.message
    assert names(job.run.checkpoints) == ["step-00000001"]
    assert saver.save(state_at(2))


def test_left_overs_of_a_kill_are_gone_before_it_is_asked_for_room(
    learner: Learner, tmp_path: Path, first_job: Job
) -> None:
    size = learner.checkpoint_bytes()
    with small_disk(tmp_path / "disk", 3 * size + (1 << 20)) as disk:
        job = job_in(disk / "run", first_job)
        left_over = job.run.checkpoints / ".step-00000001.123"
        left_over.mkdir(parents=True)
        fill(left_over, left=size // 2)
        assert Saver(job, learner).save(state_at(1))
        assert names(job.run.checkpoints) == ["step-00000001"]


def test_a_run_folder_that_is_gone_is_a_failed_save_and_not_made_anew(
    job: Job, learner: Learner
) -> None:
    saver = Saver(job, learner)
    elsewhere = job.run.path.rename(job.run.path.with_name("elsewhere"))
    assert not saver.save(state_at(1))
    assert not job.run.path.exists()
    elsewhere.rename(job.run.path)
    [event] = failed(job)
    assert event.free_bytes is None
    assert "No such file or directory" in event.message
    assert saver.save(state_at(1))


def test_it_is_saved_after_so_many_steps(job: Job, learner: Learner) -> None:
    saver = Saver(job, learner)
    assert [step for step in range(1, 8) if saver.due(step)] == [5, 6, 7]
    assert saver.save(state_at(5))
    assert [step for step in range(6, 12) if saver.due(step)] == [10, 11]


def test_it_is_saved_after_so_many_minutes(
    job: Job, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = Saver(job, learner)
    assert not saver.due(1)
    monkeypatch.setattr(saver, "_saved_at", saver._saved_at - 601)
    assert saver.due(1)
    saver.start_clock()
    assert not saver.due(1)


def test_a_best_that_could_not_be_saved_is_none(job: Job, learner: Learner) -> None:
    saver = Saver(job, learner)
    first, second = Best(step=1, scores=NOBODY), Best(step=2, scores=NOBODY)
    assert saver.save(msgspec.structs.replace(state_at(1), best=first))
    with files_of_at_most(job.run.events_file.stat().st_size + 2048):
        assert not saver.save(msgspec.structs.replace(state_at(2), best=second))
    assert saver.best == first
    assert saver.save(msgspec.structs.replace(state_at(2), best=second))
    assert saver.best == second


def test_the_same_step_is_saved_again_only_for_another_best(job: Job, learner: Learner) -> None:
    saver = Saver(job, learner)
    best = Best(step=1, scores=NOBODY)
    for state in (state_at(1), state_at(1), msgspec.structs.replace(state_at(1), best=best)):
        assert saver.save(state)
    assert saved(job) == [1, 1]
    assert checkpoint.read_state(job.run.checkpoints / "step-00000001").best == best


def test_a_best_by_the_scores_of_other_rows_counts_no_more(job: Job, learner: Learner) -> None:
    best = Best(step=1, scores=NOBODY)
    rows, others = Keys(training="a", validation="b"), Keys(training="a", validation="c")
    state = msgspec.structs.replace(state_at(1), best=best, keys=rows)
    assert Saver(job, learner).save(state)
    same = Saver(replace(job, keys=rows), learner)
    assert same.last_good()[0] == checkpoint.read_state(job.run.checkpoints / "step-00000001")
    read, path = Saver(replace(job, keys=others), learner).last_good()
    assert read is not None
    assert (read.best, path) == (None, job.run.checkpoints / "step-00000001")


def test_going_back_takes_the_last_good_step_and_drops_those_after_it(
    job: Job, learner: Learner
) -> None:
    saver = Saver(job, learner)
    best = Best(step=1, scores=NOBODY)
    assert saver.save(msgspec.structs.replace(state_at(1), best=best))
    bad = msgspec.structs.replace(state_at(2), numbers=Numbers(in_a_row=2), best=None)
    assert saver.save(bad)
    state, path = saver.last_good()
    saver.go_back_to(state, path)
    assert path == checkpoint.path_of(job.run.checkpoints, 1)
    assert state is not None
    assert (state.step, saver.best) == (1, best)
    assert names(job.run.checkpoints) == ["step-00000001"]
    assert not saver.due(5)
    assert saver.due(6), "steps count from where training went back to"


def test_going_back_where_nothing_was_saved_is_to_the_beginning(job: Job, learner: Learner) -> None:
    assert Saver(job, learner).last_good() == (None, None)


@pytest.mark.parametrize("earlier", [True, False])
def test_a_run_that_ends_unsaved_names_what_resume_goes_on_from(
    job: Job, learner: Learner, earlier: bool
) -> None:
    saver = Saver(job, learner)
    if earlier:
        assert saver.save(state_at(1))
    events = job.run.events_file.stat().st_size if job.run.events_file.exists() else 0
    with files_of_at_most(events + 2048), pytest.raises(KocrError) as told:
        saver.save_before(StoppedError("stopped on request"), state_at(2))
    assert told.value.exit_code == 1
    assert str(told.value).startswith("stopped on request; ")
    assert "step-00000002: can't save the checkpoint: " in str(told.value)
    then = "resume goes on from step-00000001" if earlier else "no checkpoint was saved before"
    assert then in str(told.value)
    [event] = failed(job)
    assert (event.step, event.retry_s) == (2, None), "nobody tries again"


def test_what_nothing_comes_after_waits_for_room_and_obeys_a_stop(
    job: Job, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.01)
    saver = Saver(job, learner)
    tries = 0

    def write(_folder: Path) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(28, "No space left on device")
        real(_folder)

    real = learner.write
    monkeypatch.setattr(learner, "write", write)
    saver.save_patiently(state_at(1))
    assert [(event.step, event.retry_s) for event in failed(job)] == [(1, 0.01), (1, 0.01)]
    assert saved(job) == [1]
    tries = 0
    ask(job, "stop")
    with pytest.raises(StoppedError):
        saver.save_patiently(state_at(2))


def test_events_keep_their_numbers_although_the_file_lost_its_end(
    job: Job, learner: Learner
) -> None:
    saver = Saver(job, learner)
    assert saver.save(state_at(1))
    state = checkpoint.read_state(job.run.checkpoints / "step-00000001")
    assert 0 < state.event < job.events.seq
    job.events.close()
    job.run.events_file.write_bytes(b"")
    events = EventWriter(job.run.events_file)
    events.continue_after(state.event)
    assert events.seq == state.event


def test_no_global_generator_counts_for_a_resume(signs: Signs, tmp_path: Path) -> None:
    """All that is random is drawn from seed and step: a checkpoint holds no generator's state."""
    straight = signs.job(dropout=0.2)
    with signs.learner(straight) as (learner, _device):
        arriving = learner.steps_from(0)
        for step in range(2):
            learner.learn(step, next(arriving))
        path = checkpoint.save(tmp_path, 2, lambda folder: write_state(learner, folder, 2))
        for step in range(2, 4):
            learner.learn(step, next(arriving))
        expected = kept(learner)
    with signs.learner(signs.job(dropout=0.2)) as (learner, _device):
        scramble(1)
        learner.read(path)
        for number, micro_batches in enumerate(learner.steps_from(2), start=2):
            if number == 4:
                break
            scramble(number)
            learner.learn(number, micro_batches)
        found = kept(learner)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def write_state(learner: Learner, folder: Path, step: int) -> None:
    learner.write(folder)
    (folder / "state.json").write_bytes(msgspec.json.encode(state_at(step)))


def scramble(seed: int) -> None:
    """Leaves every global generator in a state of its own."""
    torch.manual_seed(1000 + seed)
    np.random.seed(2000 + seed)
    random.seed(3000 + seed)


def test_peft_itself_loads_what_was_saved(signs: Signs, learner: Learner, tmp_path: Path) -> None:
    learner.write(tmp_path)
    base = Qwen2VLForConditionalGeneration.from_pretrained(learner.parts.base.name_or_path)
    adapted = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    loaded = dict(adapted.named_parameters())
    ours = dict(learner.parts.parameters)
    assert ours
    assert all(torch.equal(loaded[name], value) for name, value in ours.items())
