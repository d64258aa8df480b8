"""Fills the vision-feature cache ahead of training: ``python -m core.train.fill RUN_OR_CONFIG``."""

import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from core.config import RunConfig, read_config
from core.errors import KocrError, UsageError
from core.event_log import EventWriter
from core.events import Setup
from core.hardware.device import open_device, require_device
from core.profile import GIB, load_profile
from core.run_dir import RunDir
from core.train.cards.own import hold_cards
from core.train.control import Control
from core.train.crew import Crew
from core.train.job import Job, open_job
from core.train.learner import Learner
from core.train.signals import StopSignals
from core.tune.certificate import Certificate
from core.visible_text import visible

_TELL_SECONDS = 5.0


def fill(run: RunDir, config: RunConfig, setup: Setup) -> None:
    """Computes and keeps the features of every training photo that has none yet.

    Raises KocrError if they can't be cached or the card is busy, StoppedError if a signal asks to
    stop; what was kept until then stays.
    """
    nowhere = EventWriter(Path(os.devnull))
    signals = StopSignals()
    signals.install()
    control = Control(None, nowhere, signals)
    profile = load_profile(config.device.profile)
    with hold_cards(profile, 1):
        require_device(profile)
        job = open_job(run, config, profile, nowhere, control).under(setup)
        _fill_all(job, setup)


def _fill_all(job: Job, setup: Setup) -> None:
    device = open_device(job.config.device, job.profile)
    with device.session():
        learner = Learner(job, setup, device, Crew(0, 1), ahead=True)
        if learner.features is None:
            raise KocrError(learner.cache_words or "no image features are cached")
        print(visible(learner.cache_words or ""))
        _fill(job, learner)
        print(f"{len(learner.features):,} photos, {learner.features.used_bytes() / GIB:.2f} GiB")


def _fill(job: Job, learner: Learner) -> None:
    rows = len(job.train_rows)
    told, done = time.monotonic(), 0
    for step, micro_batches in enumerate(learner.steps_from(0)):
        if step == learner.steps_an_epoch:
            break
        done += sum(micro.samples for micro in micro_batches)
        learner.look(micro_batches)
        job.control.check()
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            print(f"{done:,} of {rows:,} photos")
    learner.flush()


def _setup_of(run: RunDir | None, config: RunConfig) -> Setup:
    """The certified setup, or one at the config's fixed budget; raises UsageError for neither."""
    if run is not None and run.certificate_file.exists():
        data = run.certificate_file.read_bytes()
        return msgspec.json.decode(data, type=Certificate).setup
    if config.tune.max_pixels is None:
        raise UsageError(
            "the pixel budget isn't known yet: give tune.max_pixels in the config, or the name of "
            "a run that was tuned"
        )
    return Setup(
        weights=config.model.dtype,
        rank=config.lora.rank,
        targets=config.lora.targets,
        checkpointing=str(config.train.checkpointing),
        micro_batch_tokens=config.train.micro_batch_tokens or 1,
        max_pixels=config.tune.max_pixels,
        image_tokens=0,
    )


def main(arguments: list[str]) -> int:
    """Takes a run's folder or a config file; an error is one line."""
    path = Path(arguments[0])
    try:
        if path.is_dir():
            run = RunDir(path)
            config = run.config()
            fill(run, config, _setup_of(run, config))
        else:
            config = read_config(path)
            with tempfile.TemporaryDirectory(prefix="kocr-cache-") as folder:
                fill(RunDir(Path(folder)), config, _setup_of(None, config))
    except KocrError as error:
        print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
