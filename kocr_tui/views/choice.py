"""Another setup of the plan for a run that hasn't begun to train, proved by a fresh worker."""

import threading
import time

import msgspec

from core import toml_file
from core.config import RunConfig
from core.errors import KocrError, UsageError
from core.launch import launch
from core.planning import PlannedSetup
from core.run_dir import RunDir
from core.run_watch import RunWatch, watch
from core.whole_file import write_whole
from kocr_tui.asking import ask
from kocr_tui.strings import say

_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.1


def with_setup(config: RunConfig, setup: PlannedSetup) -> RunConfig:
    """The config that asks for this setup and nothing else.

    Where the goal is the largest budget, that is searched for anew, since the setup's own is a
    prediction without margin; other goals become the setup's budget. Raises UsageError if the
    setup has values that no config may have.
    """
    layers = setup.checkpointing
    changes: dict[str, dict[str, object]] = {
        "model": {"dtype": setup.weights},
        "lora": {"rank": setup.rank, "targets": setup.targets},
        "train": {"checkpointing": int(layers) if layers.isdecimal() else layers},
    }
    if not wants_largest(config):
        changes["tune"] = {"max_pixels": setup.max_pixels, "hours": None, "fastest": False}
    document = msgspec.to_builtins(config)
    for section, values in changes.items():
        document[section] |= values
    return toml_file.convert(document, RunConfig, say("choice.setup"))


def wants_largest(config: RunConfig) -> bool:
    """Whether the goal of tuning is the largest pixel budget that fits."""
    tune = config.tune
    return tune.max_pixels is None and tune.hours is None and not tune.fastest


def choose(run: RunDir, setup: PlannedSetup) -> None:
    """Sends the run's worker away, writes the setup into its config, and starts a worker again.

    The worker leaves once the setup is proved if the one before would have. Blocks until the new
    worker holds the run. Raises UsageError or KocrError where that can't be done: the config is as
    it was then, unless it's the new worker that doesn't start.
    """
    config = with_setup(run.config(), setup)
    watched = watch(run)
    _refuse_if_training(watched)
    tune_only = watched.state.worker is not None and watched.state.worker.tune_only
    if watched.worker_pid() is not None:
        _send_away(watched)
        _go_on_if_training(watched)
    _put_plan_aside(run)
    write_whole(run.config_file, toml_file.encode(config).encode())
    launch(run, tune_only=tune_only)


def _refuse_if_training(watched: RunWatch) -> None:
    if watched.state.training is not None:
        raise UsageError(say("choice.begun"))


def _send_away(watched: RunWatch) -> None:
    run = watched.run
    ask(run, "abort")
    end = time.monotonic() + _PATIENCE_SECONDS
    tick = threading.Event()
    while run.worker_pid() is not None:
        if time.monotonic() > end:
            raise KocrError(say("choice.stays", run=run.id, seconds=round(_PATIENCE_SECONDS)))
        tick.wait(_POLL_SECONDS)


def _go_on_if_training(watched: RunWatch) -> None:
    """A worker that began to train before it read the request is started again as it was."""
    watched.catch_up()
    if watched.state.training is not None:
        launch(watched.run)
        raise UsageError(say("choice.too_late"))


def _put_plan_aside(run: RunDir) -> None:
    """The first plan has all setups and is kept to choose from; the next ones have one each."""
    run.certificate_file.unlink(missing_ok=True)
    if run.plan_file.exists() and not run.alternatives_file.exists():
        run.plan_file.replace(run.alternatives_file)
    run.plan_file.unlink(missing_ok=True)
