"""The worker process: takes a run's lock, tunes if needed, trains, and always says how it ended.

``python -m core.train.worker RUN_FOLDER [--allow=NAME]``; nothing heavy is imported before the lock
is held.
"""

import contextlib
import importlib.metadata
import os
import stat
import sys
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from core import lock
from core.config import RunConfig
from core.differences import allowed_in
from core.errors import GpuLostError, KocrError
from core.event_log import EventReader, EventWriter
from core.events import Finished, Log, WorkerStarted
from core.hardware.nvml import Card, auto_card, visible_cards
from core.launch import TUNE_ONLY, busy_message, report_ready
from core.profile import GIB, Profile, held_to_card, load_profile
from core.run_dir import RunDir
from core.train.cards.check import check_cards, failed_before
from core.train.cards.own import hold_cards, refuse_lost
from core.train.cards.watch import CardWatch
from core.train.control import Control, Heartbeat
from core.train.endings import (
    EndNow,
    end_at_once,
    end_without_folder,
    ended,
    leave_at_once,
)
from core.train.run_folder_watch import RunFolderWatch
from core.train.signals import StopSignals
from core.visible_text import visible
from core.whole_file import sweep_unfinished


def main(arguments: list[str]) -> int:
    """Works on the run and returns the exit code."""
    if int(os.environ.get("RANK", "0")) > 0:
        from core.train import follower

        return follower.main(arguments)
    began = time.time()
    signals = StopSignals()
    signals.install()
    run = RunDir(Path(arguments[0]))
    try:
        allowed = allowed_in(arguments)
        with lock.hold(run.lock_file, lambda pid: busy_message(run, pid)):
            report_ready()
            return _work(run, signals, began, allowed, tune_only=TUNE_ONLY in arguments)
    except KocrError as error:
        report_ready(str(error))
        print(visible(str(error)), file=sys.stderr)
        return error.exit_code


def _work(
    run: RunDir,
    signals: StopSignals,
    began: float,
    allowed: frozenset[str],
    *,
    tune_only: bool,
) -> int:
    sweep_unfinished(run.path)
    sweep_unfinished(run.predictions)
    attempt = _attempts(run) + 1
    events = EventWriter(run.events_file, run.reserve_file)
    signals.leave = partial(leave_at_once, run, events)
    control = Control(run, events, signals)
    folder = RunFolderWatch(run.path)
    end_now = partial(end_at_once, signals, events)
    leave = partial(end_without_folder, end_now)
    try:
        _warn_if_open_to_others(run, events)
        control.settle(began)
        with Heartbeat(partial(folder.guard, run.heartbeat_file.touch, leave)):
            phases = partial(_run_phases, run, attempt, events, control, end_now)
            work = partial(phases, allowed, tune_only=tune_only)
            finished = ended(run, folder, end_now, work)
        if folder.is_gone():
            leave(folder.sentence)
        signals.end(finished.exit_code)
        events.write(finished)
    finally:
        events.close()
    signals.close()
    return finished.exit_code


def _warn_if_open_to_others(run: RunDir, events: EventWriter) -> None:
    if run.path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        _warn(events, f"{run.path}: others can write into the run; `chmod 700` keeps them out")


def _warn(events: EventWriter, said: str) -> None:
    events.write(Log(level="warning", message=said))


def _run_phases(
    run: RunDir,
    attempt: int,
    events: EventWriter,
    control: Control,
    end_now: EndNow,
    allowed: frozenset[str],
    *,
    tune_only: bool,
) -> Finished:
    config = run.config()
    profile = _profile_of_card(config, events)
    with contextlib.ExitStack() as leaving:
        held = hold_cards(profile, config.device.processes, partial(_warn, events))
        cards = leaving.enter_context(held)
        _announce(config, profile, cards, attempt, events, tune_only=tune_only)
        control.check()
        if failed_before(run):
            check_cards(run, config, profile, cards, control, events)
        watch = leaving.enter_context(_watched(cards, events, end_now))
        control.card = watch
        import torch

        from core.hardware.device import open_device, require_device
        from core.train.checkpoints.checkpoint import runs_smaller
        from core.train.crew import choose_card, lead
        from core.train.job import open_job
        from core.train.loop import train
        from core.train.recovery import in_one_line
        from core.train.resumption import Resumption
        from core.tune.tuner import tune

        control.check()
        require_device(profile)
        job = open_job(run, config, profile, events, control)
        resumption = Resumption(job, config.model.revision, allowed)
        job = resumption.job
        certificate = tune(job)
        if tune_only:
            said = f"tuned; `kocr-tui resume {run.id}` trains with it"
            return Finished(state="stopped", exit_code=0, message=said)
        control.check()
        job = resumption.settle(certificate.setup)
        crew = leaving.enter_context(
            lead(run.path, config.device.processes, partial(_end_with_crew, end_now, watch))
        )
        choose_card(crew.rank)
        crew.join(torch.device(profile.device))
        device = open_device(config.device, profile)
        if device.limit_bytes < certificate.peak_bytes and not runs_smaller(run.checkpoints):
            raise KocrError(
                f"{device.name}: {device.limit_bytes / GIB:.1f} GiB are free, but "
                f"{certificate.peak_bytes / GIB:.1f} GiB were proved to be needed; free the card "
                "(`kocr-tui doctor` lists who is on it), then resume"
            )
        with in_one_line(device), device.session():
            steps = train(job, certificate, device, crew)
        return Finished(state="done", exit_code=0, message=f"trained {steps} steps", step=steps)


def _profile_of_card(config: RunConfig, events: EventWriter) -> Profile:
    """The profile, with no more memory than the card has."""
    if config.device.profile == "auto":
        refuse_lost(visible_cards()[: config.device.processes])
    profile = load_profile(config.device.profile)
    if profile.device != "cuda":
        return profile
    held, said = held_to_card(profile, auto_card())
    if said is not None:
        _warn(events, said)
    return held


def _announce(
    config: RunConfig,
    profile: Profile,
    cards: list[Card],
    attempt: int,
    events: EventWriter,
    *,
    tune_only: bool,
) -> None:
    events.write(
        WorkerStarted(
            pid=os.getpid(),
            attempt=attempt,
            device=profile.device,
            card=profile.title,
            profile=profile.name,
            capacity_bytes=profile.capacity_bytes(config.device.capacity_gib),
            versions={name: importlib.metadata.version(name) for name in ("torch", "transformers")},
            tune_only=tune_only,
            cards=tuple(card.uuid for card in cards if card.uuid is not None),
        )
    )


def _watched(cards: list[Card], events: EventWriter, end_now: EndNow) -> CardWatch:
    return CardWatch(cards, events.write, lambda why: end_now(why, GpuLostError.exit_code))


def _end_with_crew(end_now: EndNow, watch: CardWatch, error: KocrError) -> NoReturn:
    """A process of the crew died, which may have been the fault of its card."""
    watch.settle()
    if watch.verdict is not None:
        end_now(watch.verdict, GpuLostError.exit_code)
    end_now(str(error), error.exit_code)


def _attempts(run: RunDir) -> int:
    return sum(isinstance(event, WorkerStarted) for event in EventReader(run.events_file).poll())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
