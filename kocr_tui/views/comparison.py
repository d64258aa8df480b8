"""Runs side by side: what is known of each, and where their settings differ; pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from core.config import RunConfig
from core.events import FINAL_STATES, DataOpened, Setup, State, Validated, WorkerStarted
from kocr_tui import format as fmt
from kocr_tui.strings import say

MOST_RUNS = 6
LETTERS = "ABCDEF"
UNKNOWN = "?"
Stage = Literal["final", "rolling", "best", "baseline"]
Fact = Callable[["Compared"], str | None]


@dataclass(frozen=True)
class Compared:
    """A run as it was last read.

    ``problem`` says why there is no config, ``trouble`` why nothing new can be read, ``unread``
    counts lines of the events that can't be read. ``batch`` is the samples of an optimizer step,
    None before the first one where the config doesn't tell. ``losses`` are (step, loss), ``rate``
    the median samples a second, ``peak_bytes`` the most memory that a step took, ``started_at``
    and ``updated_at`` the times of the first start and the last event. ``gone`` says that the
    folder was deleted after that.
    """

    id: str
    live: State = "queued"
    slow: bool = False
    gone: bool = False
    config: RunConfig | None = None
    problem: str = ""
    trouble: str = ""
    unread: int = 0
    worker: WorkerStarted | None = None
    data: DataOpened | None = None
    choice: Setup | None = None
    batch: int | None = None
    step: int = 0
    steps: int = 0
    rate: float | None = None
    peak_bytes: int | None = None
    started_at: float | None = None
    updated_at: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    rolling: tuple[Validated, ...] = ()
    stages: Mapping[Stage, Validated] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all runs; ``values`` has one text a run."""

    key: str
    values: tuple[str, ...]


def seconds_of(run: Compared, now: float) -> float | None:
    """Seconds from the first start to now, or to the last event of a run that is over."""
    if run.started_at is None or run.updated_at is None:
        return None
    over = run.gone or run.live in FINAL_STATES
    return (run.updated_at if over else now) - run.started_at


def names(runs: Sequence[Compared]) -> list[str]:
    """A name a run: the one it was given where no other run here has it, else its id."""
    given = [run.config.name if run.config else run.id for run in runs]
    return [
        fmt.visible(name if given.count(name) == 1 else run.id)
        for run, name in zip(runs, given, strict=True)
    ]


def differences(runs: Sequence[Compared]) -> list[Difference]:
    """The settings, chosen setups, rows and software that differ; equal ones are left out.

    A setting that was left out of a config counts as its default; what a run does not tell is
    shown as unknown and is no difference by itself.
    """
    settings = [
        dict(_flat("", msgspec.to_builtins(run.config))) if run.config else {} for run in runs
    ]
    keys = dict.fromkeys(key for setting in settings for key in setting if key != "name")
    rows = [(key, [setting.get(key) for setting in settings]) for key in keys]
    rows += [(say(f"compare.fact.{name}"), [of(run) for run in runs]) for name, of in FACTS.items()]
    packages = dict.fromkeys(name for run in runs if run.worker for name in run.worker.versions)
    rows += [(fmt.visible(name), [_version(run, name) for run in runs]) for name in packages]
    return [
        Difference(key, tuple(UNKNOWN if value is None else fmt.visible(value) for value in values))
        for key, values in rows
        if len(set(values) - {None}) > 1
    ]


def reads_other_photos(runs: Sequence[Compared]) -> bool:
    """Whether the runs are scored on validation rows that are not the same."""
    files = {run.config.data.validation for run in runs if run.config}
    counts = {run.data.validation_rows for run in runs if run.data}
    return len(files) > 1 or len(counts) > 1


def _flat(prefix: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield prefix + key, _setting(value)


def _setting(value: object) -> str:
    if value is None:
        return say("compare.unset")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _version(run: Compared, package: str) -> str | None:
    return run.worker.versions.get(package) if run.worker else None


FACTS: dict[str, Fact] = {
    "max_pixels": lambda run: fmt.pixels(run.choice.max_pixels) if run.choice else None,
    "image_tokens": lambda run: f"{run.choice.image_tokens:,}" if run.choice else None,
    "weights": lambda run: run.choice.weights if run.choice else None,
    "checkpointing": lambda run: run.choice.checkpointing if run.choice else None,
    "micro_batch_tokens": lambda run: f"{run.choice.micro_batch_tokens:,}" if run.choice else None,
    "train_rows": lambda run: f"{run.data.train_rows:,}" if run.data else None,
    "validation_rows": lambda run: f"{run.data.validation_rows:,}" if run.data else None,
    "set_aside": lambda run: f"{run.data.set_aside:,}" if run.data else None,
    "profile": lambda run: run.worker.profile if run.worker else None,
    "card": lambda run: run.worker.card if run.worker else None,
}
