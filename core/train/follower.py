"""A process that trains with a leader: ``python -m core.train.follower RUN_FOLDER``.

It hears from the leader when to begin, when to take a step and when to leave; what it has to say
goes to the run's log, and its figures reach people through the leader.
"""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import msgspec
import torch

from core.config import RunConfig
from core.errors import DataGoneError, GpuLostError, KocrError
from core.event_log import EventWriter
from core.events import Setup
from core.hardware.device import open_device
from core.profile import Profile, load_profile
from core.run_dir import RunDir
from core.train.cards.unwatched import lost_card_in_one_line
from core.train.control import Control
from core.train.crew import Crew, choose_card, launched
from core.train.followers import leave_word
from core.train.job import open_job
from core.train.learner import Learner
from core.train.loading.micro_batch import MicroBatch, Replaced
from core.train.recovery import in_one_line
from core.visible_text import visible

LEAVE = "leave"
STEP = "step"
PASS = "pass"
_LEADERS_OWN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's first word: what to train with."""

    config: RunConfig
    setup: Setup


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's word once it has read a checkpoint itself: which one, and the step after it."""

    step: int
    checkpoint: str | None


class GoBack(msgspec.Struct, frozen=True, kw_only=True):
    """The leader's word to go back to a step and its checkpoint (None: the fresh adapter)."""

    step: int
    checkpoint: str | None


def gone_in(said: Sequence[Replaced | str]) -> str | None:
    """Why one of the processes can't read its photos any more; None where all can."""
    return next((one for one in said if isinstance(one, str)), None)


def replaced_in(micro_batches: list[MicroBatch]) -> list[Replaced]:
    """Rows that others stand in for, for the leader to tell."""
    return [row for micro in micro_batches for row in micro.replaced]


def follow(run: RunDir) -> None:
    """Takes steps until the leader says that it's over."""
    profile = load_profile(run.config().device.profile)
    with lost_card_in_one_line(profile.title):
        _follow(run, profile)


def _follow(run: RunDir, profile: Profile) -> None:
    rank, processes = launched()
    crew = Crew(rank, processes)
    choose_card(rank)
    crew.join(torch.device(profile.device))
    begin = crew.hear()
    if begin == LEAVE:
        return
    nowhere = EventWriter(Path(os.devnull))
    job = open_job(run, begin.config, profile, nowhere, Control(None, nowhere))
    device = open_device(begin.config.device, profile)
    with in_one_line(device), device.session():
        learner = Learner(job, begin.setup, device, crew)
        learner.parts.model.train()
        start = crew.hear()
        if start.checkpoint is not None:
            learner.read(Path(start.checkpoint))
        learner.rehearse(start.step)
        _take_steps(learner, crew, start.step)
        learner.flush()


def _take_steps(learner: Learner, crew: Crew, start: int) -> None:
    while True:
        with closing(learner.steps_from(start)) as arriving:
            back = _step_until_told(learner, crew, arriving, start)
        if back is None:
            return
        learner.go_back(Path(back.checkpoint) if back.checkpoint is not None else None)
        start = back.step


def _step_until_told(
    learner: Learner, crew: Crew, arriving: Iterator[list[MicroBatch]], start: int
) -> GoBack | None:
    """Takes steps from ``start`` until the leader says where to go back to, or (None) it's over."""
    for step in itertools.count(start):
        micro_batches, gone = _next(arriving)
        word = crew.hear()
        if word == LEAVE:
            return None
        if isinstance(word, GoBack):
            return word
        if word == PASS:
            continue
        said = replaced_in(micro_batches) if gone is None else [gone]
        if gone_in(crew.gather(said)) is None:
            learner.learn(step, micro_batches)
    return None


def _next(arriving: Iterator[list[MicroBatch]]) -> tuple[list[MicroBatch], str | None]:
    """A step's micro-batches, or none and why the data set can't be read any more."""
    try:
        return next(arriving, []), None
    except DataGoneError as error:
        return [], str(error)


def _end(error: GpuLostError) -> NoReturn:
    """Letting go of what is on a lost card can hang or crash, so nothing is let go."""
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    sys.stderr.flush()
    os._exit(error.exit_code)


def main(arguments: list[str]) -> int:
    """Follows; an error is one line in the log, and the leader's to tell."""
    for number in _LEADERS_OWN:
        signal.signal(number, signal.SIG_IGN)
    try:
        follow(RunDir(Path(arguments[0])))
    except KocrError as error:
        print(visible(str(error)), file=sys.stderr)
        leave_word(str(error))
        if isinstance(error, GpuLostError):
            _end(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
