"""A step that ran out of memory before it changed a weight leaves nothing behind."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from learners import ROOM, Signs
from training import Bench, step

from core.errors import KocrError
from core.hardware.device import CPU_TENANTS_VARIABLE, CpuDevice
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.train.loading.micro_batch import MicroBatch
from core.train.recovery import Untouched
from core.train.setup import Precision, Trainable

SINGLE, HALF = Precision("fp32", "fp32"), Precision("fp16", "fp16")


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


@pytest.fixture(scope="module")
def bench(tiny_model_folder: Path) -> Bench:
    return Bench.of(tiny_model_folder)


def crowd(signs: Signs, device: CpuDevice, left: int = 0) -> None:
    """Others take all but what is used and ``left`` bytes more, at once."""
    signs.leave(device.used_bytes() + left)
    device.mark()


def after_steps(
    bench: Bench, steps: int, precision: Precision, disturb: Callable[[Trainable, MicroBatch], None]
) -> list[torch.Tensor]:
    """The weights after some steps, ``disturb`` being called before the last of them."""
    micro = bench.micro_batch(bench.samples())
    device = CpuDevice(ROOM, ROOM)
    with device.session():
        trainable = bench.trainable(precision=precision, device=device)
        for _ in range(steps):
            step(trainable, [micro])
        disturb(trainable, micro)
        step(trainable, [micro])
        return [value.clone() for _name, value in trainable.parameters]


def assert_disturbed_in_vain(
    bench: Bench,
    steps: int,
    precision: Precision,
    disturb: Callable[[Trainable, MicroBatch], None],
) -> None:
    """The weights are those of a run that was not disturbed, to the bit."""
    found = after_steps(bench, steps, precision, disturb)
    expected = after_steps(bench, steps, precision, lambda _trainable, _micro: None)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("precision", "steps"),
    [(SINGLE, 0), (SINGLE, 1), (HALF, 1)],
    ids=["first-fp32", "second-fp32", "second-fp16"],
)
def test_a_step_that_fails_after_its_backward_pass_can_be_done_again(
    bench: Bench, signs: Signs, precision: Precision, steps: int
) -> None:
    def fail(trainable: Trainable, micro: MicroBatch) -> None:
        before = Untouched(trainable)
        crowded = partial(crowd, signs, trainable.device)
        failed = attempt(partial(step, trainable, [micro], after_backward=crowded))
        assert isinstance(failed, OutOfMemory)
        before.restore()
        signs.free()
        trainable.device.mark()

    assert_disturbed_in_vain(bench, steps, precision, fail)


def test_moments_that_found_no_room_are_made_again(bench: Bench, signs: Signs) -> None:
    def fail(trainable: Trainable, micro: MicroBatch) -> None:
        before = Untouched(trainable)
        hook = trainable.optimizer.register_step_pre_hook(
            lambda *_given: crowd(signs, trainable.device, left=20_000)
        )
        assert isinstance(attempt(partial(step, trainable, [micro])), OutOfMemory)
        assert trainable.optimizer.state, "it failed between the moments"
        before.restore()
        assert not trainable.optimizer.state
        hook.remove()
        signs.free()
        trainable.device.mark()

    assert_disturbed_in_vain(bench, 0, SINGLE, fail)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("steps", [0, 1], ids=["first", "second"])
def test_an_update_that_had_begun_is_not_taken_back(bench: Bench, fused: bool, steps: int) -> None:
    trainable = bench.trainable()
    for group in trainable.optimizer.param_groups:
        group["fused"] = fused
    for _ in range(steps):
        step(trainable, [bench.micro_batch(bench.samples())])
    before = Untouched(trainable)
    step(trainable, [bench.micro_batch(bench.samples())])
    with pytest.raises(KocrError, match="in the middle of an optimizer update"):
        before.restore()
