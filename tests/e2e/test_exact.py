"""Whatever moment a run is stopped or killed at, it ends with the bytes of one that never was.

One run goes from hit to hit, each at an exact moment and each resumed, and is compared with the
uninterrupted run: adapter, optimizer and state at its end, and loss and gradient norm of every
step, which with dropout differ unless every draw is the same. Of the state that is all but what
the clock decides: when validation rows were read. A stop after memory ran out is in test_memory.
"""

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from e2e_box import PATIENCE_SECONDS, Box, write_config
from kill_runs import Findings, Reference, content, different_bytes, losses_of, read_events
from moments import MOMENTS
from small_run import small_config

from core.event_log import EventReader
from core.events import Step, TrainingStarted
from core.run_dir import RunDir
from core.run_watch import watch
from core.train.checkpoints import checkpoint

pytestmark = pytest.mark.e2e
replace = msgspec.structs.replace
STEPS_AN_EPOCH = 12
STEPS = 2 * STEPS_AN_EPOCH
KILL, STOP, TWICE = "SIGKILL", "SIGTERM", "SIGTERM+SIGTERM"
LEFT = {KILL: -signal.SIGKILL, STOP: 3, TWICE: 3}
STATE = {KILL: "died", STOP: "stopped", TWICE: "aborted"}


@dataclass(frozen=True)
class Hit:
    """A signal at a moment of a step (from 1), and the step of the checkpoint that it leaves.

    A second one is sent once the first was delivered: the kernel makes one of two that wait.
    """

    moment: str
    signal: str
    step: int
    left: int
    workers: int = 1


HITS = (
    Hit("inside an accumulation", KILL, 3, left=2),
    Hit("inside an accumulation", STOP, 5, left=4),
    Hit("during validation", KILL, 5, left=4),
    Hit("during validation", STOP, 5, left=5),
    Hit("during a save", KILL, 8, left=7),
    Hit("between steps", KILL, STEPS_AN_EPOCH, left=STEPS_AN_EPOCH),
    Hit("inside an accumulation", TWICE, STEPS_AN_EPOCH + 5, left=STEPS_AN_EPOCH + 4, workers=0),
)


def often_saved(box: Box) -> Box:
    """The same runs with a checkpoint at every step."""
    train = replace(box.config.train, checkpoint_steps=1)
    return Box(box.home, replace(box.config, train=train), box.certificate)


def with_workers(box: Box, run: RunDir, workers: int) -> None:
    train = replace(box.config.train, loader_workers=workers)
    write_config(run.config_file, replace(box.config, train=train))


def hit(box: Box, run: RunDir, at: Hit) -> int:
    """Has the worker hit; returns its exit status. Each reads validation rows after its first step.

    The request for that is made before the worker starts, so that it can't come too late.
    """
    run.request("evaluate")
    arguments = (at.moment, at.signal, str(at.step), str(run.path))
    with run.log_file.open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "moments", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            cwd=Path(__file__).parent,
            env=box.environment,
            timeout=PATIENCE_SECONDS,
        )
    return done.returncode


def finish(box: Box, run: RunDir) -> None:
    done = box.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr


def undisturbed(run: RunDir) -> Reference:
    return Reference(run, losses=losses_of(run))


def last(run: RunDir) -> Path:
    return checkpoint.path_of(run.checkpoints, watch(run).state.step)


def assert_same(run: RunDir, reference: Reference) -> None:
    """The same bytes at the end and the same figures at every step, whenever it was told."""
    found = Findings()
    read_events(run, reference, found)
    assert found.faults == []
    assert (found.torn_lines, found.passed_over) == (0, 0)
    assert different_bytes(last(run), last(reference.run)) == 0
    assert content(last(run)) == content(last(reference.run))


@dataclass(frozen=True)
class Left:
    """What a hit left behind."""

    status: int
    state: str
    newest: str | None
    passed_over: list[str]
    half_made: int


@dataclass(frozen=True)
class Chain:
    run: RunDir
    left: list[Left]


@pytest.fixture(scope="module")
def chain(tuned_home: Path) -> Chain:
    """A run that was hit again and again, with other numbers of loader processes, and ended."""
    box = often_saved(Box(tuned_home, small_config(tuned_home)))
    run, left = box.new_run(), []
    for at in HITS:
        with_workers(box, run, at.workers)
        status = hit(box, run, at)
        newest, passed_over = checkpoint.newest(run.checkpoints)
        half_made = len(list(run.checkpoints.glob(".step-*")))
        name = newest.name if newest is not None else None
        left.append(Left(status, watch(run).live_state(), name, passed_over, half_made))
    with_workers(box, run, 2)
    finish(box, run)
    return Chain(run, left)


@pytest.mark.parametrize("number", range(len(HITS)), ids=lambda number: f"{HITS[number]}")
def test_a_hit_leaves_the_checkpoint_before_it(chain: Chain, number: int) -> None:
    at, left = HITS[number], chain.left[number]
    assert left.status == LEFT[at.signal]
    assert left.state == STATE[at.signal]
    assert left.newest == f"step-{at.left:08d}"
    assert left.passed_over == []
    assert left.half_made == (at.moment == "during a save")


def test_every_kind_of_moment_was_hit() -> None:
    assert {at.moment for at in HITS} == set(MOMENTS)


def test_each_resume_went_on_from_what_the_hit_left(chain: Chain) -> None:
    told = EventReader(chain.run.events_file).poll()
    begun = [event.step for event in told if isinstance(event, TrainingStarted)]
    assert begun == [0, *(at.left for at in HITS)]


def test_it_ends_with_the_bytes_and_losses_of_the_uninterrupted_run(
    chain: Chain, finished: RunDir
) -> None:
    reference = undisturbed(finished)
    assert sorted(reference.losses) == list(range(1, STEPS + 1))
    assert_same(chain.run, reference)


def test_two_processes_end_with_the_bytes_that_they_have_uninterrupted(
    tuned_home: Path,
) -> None:
    config = small_config(tuned_home)
    crew = replace(
        config,
        device=replace(config.device, processes=2),
        train=replace(config.train, epochs=1),
    )
    box = often_saved(Box(tuned_home, crew))
    straight, killed = box.new_run(), box.new_run()
    finish(box, straight)
    assert hit(box, killed, Hit("inside an accumulation", KILL, 6, left=5)) == LEFT[KILL]
    newest, _passed_over = checkpoint.newest(killed.checkpoints)
    assert newest == checkpoint.path_of(killed.checkpoints, 5)
    finish(box, killed)
    told = [event for event in EventReader(killed.events_file).poll() if isinstance(event, Step)]
    assert len(told) >= STEPS_AN_EPOCH
    assert_same(killed, undisturbed(straight))
