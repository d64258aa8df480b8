"""Memory that runs out in training: taken back, done again, smaller from there on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from checkpoints import save_some, state_at, write_some
from learners import Signs, kept, remedies

from core.errors import GpuLostError, KocrError, StoppedError
from core.evaluate.generate import SignReader
from core.hardware.device import CPU_TENANTS_VARIABLE, CpuDevice
from core.run_dir import RunDir
from core.train import recovery
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import Savings
from core.train.learner import Learner
from core.train.loading.micro_batch import MicroBatch
from core.train.recovery import NoMemoryError
from core.train.step import StepOutcome

MIB = 2**20


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(autouse=True)
def tenants(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    monkeypatch.setenv(CPU_TENANTS_VARIABLE, str(signs.tenants))
    signs.free()
    yield
    signs.free()


def take(learner: Learner, device: CpuDevice, arriving: Iterator[Any], number: int) -> StepOutcome:
    """Step ``number`` (from 0), whose peak is the device's afterwards."""
    micro_batches = next(arriving)
    device.reset_peak()
    return learner.learn(number, micro_batches)


def two_steps(signs: Signs, budget: int | None = None, **train: Any) -> tuple[dict[str, Any], int]:
    """What two undisturbed steps leave, and the second one's peak (bytes)."""
    with signs.learner(signs.job(**train), budget) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        outcome = take(learner, device, arriving, 1)
        found = {"loss": outcome.loss.item(), "norm": float(outcome.grad_norm), **kept(learner)}
        return found, device.peak_bytes()


def found_after(learner: Learner, outcome: StepOutcome) -> dict[str, Any]:
    return {"loss": outcome.loss.item(), "norm": float(outcome.grad_norm), **kept(learner)}


def assert_close(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Loss, gradient norm, and every moment and weight by its norm, to 1e-5."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        expected = torch.as_tensor(value, dtype=torch.float64)
        off = (torch.as_tensor(ours[name], dtype=torch.float64) - expected).norm()
        assert off <= 1e-5 * expected.norm(), name


def test_a_step_that_runs_out_of_memory_is_done_again_in_halves(signs: Signs) -> None:
    undisturbed, whole = two_steps(signs)
    job = signs.job()
    with signs.learner(job) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        plan = learner.recovery.plan
        halved = min(plan.budget, plan.largest_shared(1)) // 2
        _found, smaller = two_steps(signs, budget=halved)
        assert smaller < whole
        before = device.used_bytes()
        signs.leave((whole + smaller) // 2)
        outcome = take(learner, device, arriving, 1)
        assert_close(found_after(learner, outcome), undisturbed)
        [event] = remedies(job.run)
        assert (event.step, event.remedy) == (2, "halve")
        assert (event.budget_before, event.budget_after) == (plan.budget, halved)
        assert event.limit_bytes == (whole + smaller) // 2 < event.peak_bytes
        assert "live bytes are over the limit" in event.message
        assert device.peak_bytes() <= event.limit_bytes, "what failed doesn't count"
        del outcome
        assert device.used_bytes() == before, "nothing of the failed attempt is pinned"
        assert learner.recovery.savings == Savings(budget=halved)
        signs.free()
        assert_smaller(next(arriving), halved)
        assert learner._gate.passed


def assert_smaller(micro_batches: list[MicroBatch], budget: int) -> None:
    assert all(
        micro.samples == 1 or sum(micro.batch.lengths) <= budget + 7 for micro in micro_batches
    )
    assert len(micro_batches) > 2


def test_a_resumed_learner_goes_on_with_the_smaller_budget(signs: Signs) -> None:
    with signs.learner(signs.job()) as (learner, _device):
        learner.recovery.adopt(Savings(budget=70, recompute=True))
        assert_smaller(next(learner.steps_from(2)), 70)
        layers = learner.parts.base.model.language_model.layers
        assert all(layer.gradient_checkpointing for layer in layers)
        assert learner.recovery.savings == Savings(budget=70, recompute=True)


@pytest.mark.parametrize(
    ("savings", "smaller"),
    [(Savings(), False), (Savings(budget=70), True), (Savings(recompute=True), True)],
)
def test_a_checkpoint_knows_whether_the_run_needs_less_than_was_certified(
    tmp_path: Path, savings: Savings, smaller: bool
) -> None:
    state = msgspec.structs.replace(state_at(7), savings=savings)
    assert not checkpoint.runs_smaller(tmp_path)
    checkpoint.save(tmp_path, 7, lambda folder: write_some(folder, state=state))
    assert checkpoint.runs_smaller(tmp_path) == smaller


def test_one_sample_that_does_not_fit_has_its_activations_recomputed(signs: Signs) -> None:
    undisturbed, plain = two_steps(signs, batch=1)
    _same, recomputed = two_steps(signs, batch=1, checkpointing="all")
    assert recomputed < plain
    job = signs.job(batch=1)
    with signs.learner(job) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        signs.leave((plain + recomputed) // 2)
        outcome = take(learner, device, arriving, 1)
        assert_close(found_after(learner, outcome), undisturbed)
    assert [event.remedy for event in remedies(job.run)] == ["recompute"]
    assert learner.recovery.savings == Savings(recompute=True)


def test_when_nothing_helps_it_waits_until_the_others_leave(signs: Signs) -> None:
    undisturbed, _peak = two_steps(signs, batch=1, checkpointing="all")
    job = signs.job(batch=1, checkpointing="all")
    over = threading.Event()

    def leave_when_it_waits() -> None:
        while not over.wait(0.01):
            if [event.remedy for event in remedies(job.run)] == ["wait"]:
                signs.free()
                return

    with signs.learner(job) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        signs.leave(device.used_bytes())
        tenant = threading.Thread(target=leave_when_it_waits)
        tenant.start()
        try:
            outcome = take(learner, device, arriving, 1)
        finally:
            over.set()
            tenant.join()
        assert_close(found_after(learner, outcome), undisturbed)
    assert [event.remedy for event in remedies(job.run)] == ["wait"]


def test_when_the_others_stay_it_ends_in_one_line_with_all_as_it_was(
    signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _peak = two_steps(signs)
    monkeypatch.setattr(recovery, "WAITS_SECONDS", (0.01, 0.01))
    job = signs.job()
    with signs.learner(job) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        weights, used = kept(learner), device.used_bytes()
        signs.leave(used)
        with pytest.raises(NoMemoryError) as ended:
            take(learner, device, arriving, 1)
        assert "CPU: out of memory in step 2: not even one sample fits" in str(ended.value)
        assert "kocr-tui doctor" in str(ended.value)
        assert "\n" not in str(ended.value)
        del ended
        assert device.used_bytes() == used
        signs.free()
        device.reset_peak()
        assert all(torch.equal(weights[name], value) for name, value in kept(learner).items())
        outcome = take(learner, device, learner.steps_from(1), 1)
        assert_close(found_after(learner, outcome), undisturbed)
    told = [event.remedy for event in remedies(job.run)]
    assert told[-3:] == ["recompute", "wait", "wait"]
    assert set(told[:-3]) == {"halve"}


def test_a_stop_is_heard_while_it_waits(signs: Signs) -> None:
    job = signs.job()
    with signs.learner(job) as (learner, device):
        arriving = learner.steps_from(0)
        take(learner, device, arriving, 0)
        signs.leave(0)
        RunDir(job.run.path).request("stop")
        with pytest.raises(StoppedError):
            take(learner, device, arriving, 1)
        assert learner.recovery.savings == Savings(), "what was in vain isn't kept"


def test_processes_that_train_together_end_in_one_line(signs: Signs) -> None:
    job = signs.job()
    with signs.learner(job) as (learner, device):
        learner.recovery.plan = replace(learner.recovery.plan, processes=2)
        arriving = learner.steps_from(0)
        signs.leave(device.used_bytes())
        with pytest.raises(KocrError, match="processes that train together can't step back"):
            take(learner, device, arriving, 0)
    assert remedies(job.run) == []


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_worst_batch_is_rehearsed_and_leaves_nothing_behind(
    signs: Signs, dropout: float
) -> None:
    found = []
    for rehearsed in (False, True):
        with signs.learner(signs.job(dropout=dropout)) as (learner, device):
            before = device.used_bytes()
            if rehearsed:
                learner.rehearse(0)
            assert device.used_bytes() == device.peak_bytes() == before or not rehearsed
            arriving = learner.steps_from(0)
            for number in range(2):
                take(learner, device, arriving, number)
            found.append(kept(learner))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_the_rehearsal_is_as_hard_as_any_step(signs: Signs) -> None:
    with signs.learner(signs.job()) as (learner, device):
        learner.rehearse(0)
        first = device.used_bytes()
        arriving = learner.steps_from(0)
        peaks = []
        for number in range(learner.steps):
            take(learner, device, arriving, number)
            peaks.append(device.peak_bytes() - device.used_bytes())
        device.reset_peak()
        signs.leave(first + max(peaks) - MIB)
        learner.rehearse(0)
        assert learner.recovery.savings.budget is not None


def test_a_rehearsal_that_does_not_fit_any_more_begins_the_run_smaller(signs: Signs) -> None:
    job = signs.job()
    with signs.learner(job) as (learner, device):
        certified = learner.recovery.plan.budget
        used = device.used_bytes()
        signs.leave(used + 8 * MIB)
        learner.rehearse(0)
        assert device.used_bytes() == used
        told = remedies(job.run)
        assert [event.step for event in told] == [1] * len(told)
        assert told[0].remedy == "halve"
        assert told[0].budget_after <= certified // 2
        if learner.recovery.savings.budget is not None:
            assert_smaller(next(learner.steps_from(0)), learner.recovery.savings.budget)


def test_photos_are_read_in_halves_down_to_one(signs: Signs) -> None:
    job = signs.job()
    with signs.learner(job) as (learner, device):
        reader = SignReader(
            learner.parts.base, job.processing, device, max_pixels=40 * 784, max_new_tokens=4
        )
        peaks = []
        for rows in ([0, 1, 2, 3], [0]):
            device.reset_peak()
            expected = reader.read_rows(job.validation_rows, rows)
            peaks.append(device.peak_bytes())
        expected = reader.read_rows(job.validation_rows, [0, 1, 2, 3])
        used = device.used_bytes()
        signs.leave(sum(peaks) // 2)
        assert reader.read_rows(job.validation_rows, [0, 1, 2, 3]) == expected
        signs.leave(used + 100_000)
        alone = reader.read_rows(job.validation_rows, [0, 1, 2, 3])
        assert [prediction.row for prediction in alone] == [row.row for row in expected]
        assert {prediction.reply for prediction in alone} == {None}
        assert all((prediction.problem or "").startswith("out of memory: ") for prediction in alone)
        assert device.used_bytes() == used
        assert learner.parts.base.training


class FailingCard:
    """A card that fails while a checkpoint is fetched from it."""

    def check(self) -> None:
        pass

    def confirm(self) -> None:
        raise GpuLostError("Xid 95")


def test_what_a_failing_card_gave_is_no_checkpoint(signs: Signs) -> None:
    job = signs.job()
    with signs.learner(job) as (learner, _device):
        save_some(job.run.checkpoints, 1)
        job.control.card = FailingCard()  # type: ignore[assignment]
        with pytest.raises(GpuLostError):
            checkpoint.save(job.run.checkpoints, 2, learner.write)
    found, passed_over = checkpoint.newest(job.run.checkpoints)
    assert found == checkpoint.path_of(job.run.checkpoints, 1)
    assert passed_over == []
