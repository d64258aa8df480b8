"""What the phases of a run share."""

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from core.config import ModelConfig, RunConfig
from core.contract import Keys, read_contract
from core.data.dataset import SignRows
from core.data.survey import open_rows
from core.errors import UsageError
from core.event_log import EventReader, EventWriter
from core.events import DataOpened, Log, ModelOpened, RowSetAside, Setup
from core.model.families.family import Family
from core.model.load import check_weights_fit, open_config, pin, weight_bytes
from core.model.processing import Processing, load_processing
from core.model.vision import Tower
from core.profile import Profile
from core.run_dir import RunDir, home
from core.train.control import Control
from core.train.loading.step_plan import Certified, StepPlan
from core.train.setup import Precision
from core.tune.certificate import under
from core.tune.space import all_weights

_CHECK_EVERY = 64
_TELL_SECONDS = 5.0
_RECORDED = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")


@dataclass(frozen=True)
class Job:
    """A run that is being worked on.

    ``keys`` are what its numbers depend on; ``begin`` is called before the first step.
    ``first_model_path`` is where the model was when the run began.
    """

    run: RunDir
    config: RunConfig
    profile: Profile
    events: EventWriter
    control: Control
    family: Family
    processing: Processing
    tower: Tower
    train_rows: SignRows
    validation_rows: SignRows
    told: set[tuple[str, int]] = field(default_factory=set)
    keys: Keys = field(default_factory=Keys)
    begin: Callable[[], None] = lambda: None
    first_model_path: str | None = None

    @property
    def precision(self) -> Precision:
        """The number formats of the base: as asked, or the profile's first."""
        return precision_of(self.config, self.profile)

    @property
    def limit_bytes(self) -> int:
        """Memory that the run may take, in bytes."""
        return self.profile.limit_bytes(self.config.device.capacity_gib)

    @property
    def proved_config(self) -> RunConfig:
        """The config as proofs know it: a model whose folder was moved by its first path."""
        if self.first_model_path is None:
            return self.config
        model = msgspec.structs.replace(self.config.model, path=self.first_model_path)
        return msgspec.structs.replace(self.config, model=model)

    def under(self, setup: Setup) -> "Job":
        """The same run with what its setup decided where the config left it open."""
        return replace(self, config=under(self.config, setup))

    def step_plan(self, setup: Setup) -> StepPlan:
        """Which rows make up each step of a setup, for a process that trains alone."""
        return StepPlan.of(
            self.train_rows,
            self.processing,
            setup.max_pixels,
            certified=Certified.of(setup),
            seed=self.config.train.seed,
            batch=self.config.train.batch,
            budget=setup.micro_batch_tokens,
        )

    def tell_set_aside(
        self, file: Path, line: int, sentence: str, replaced_by: int | None = None
    ) -> None:
        """Puts a row that isn't used on record, once however often it comes up."""
        if (str(file), line) not in self.told:
            self.told.add((str(file), line))
            self.events.write(
                RowSetAside(file=str(file), row=line, reason=sentence, replaced_by=replaced_by)
            )


def open_job(
    run: RunDir, config: RunConfig, profile: Profile, events: EventWriter, control: Control
) -> Job:
    """Opens model files and data; rows set aside are told one by one."""
    config, family, tower = _open_model(run, config, profile, events)
    processing = load_processing(config.model, family)
    opening, data = _Opening(events, control), config.data
    train, validation = (
        open_rows(Path(path), data.bad_rows, home() / "cache", opening.tell, root=data.root)
        for path in (data.train, data.validation)
    )
    job = Job(run, config, profile, events, control, family, processing, tower, train, validation)
    job.told.update(_told(run))
    for rows in (train, validation):
        for bad in rows.set_aside:
            job.tell_set_aside(rows.path, bad.line, bad.sentence)
    events.write(
        DataOpened(
            train_rows=len(train),
            validation_rows=len(validation),
            set_aside=len(train.set_aside) + len(validation.set_aside),
        )
    )
    return job


def precision_of(config: RunConfig, profile: Profile) -> Precision:
    """The number formats of the base: as asked, or the profile's first until that is tuned."""
    asked = config.model.dtype
    first = profile.dtypes[0]
    if asked == "nf4":
        return Precision("nf4", first)
    chosen = first if asked == "auto" else asked
    return Precision(chosen, chosen)


def _open_model(
    run: RunDir, config: RunConfig, profile: Profile, events: EventWriter
) -> tuple[RunConfig, Family, Tower]:
    """The config with the model pinned to the commit that the run began with, and told."""
    before = [
        event for event in EventReader(run.events_file).poll() if isinstance(event, ModelOpened)
    ]
    if before and before[0].revision is not None and not _asks_for_another(run, config.model):
        model = msgspec.structs.replace(config.model, revision=before[0].revision)
        config = msgspec.structs.replace(config, model=model)
    opened, family = open_config(config.model)
    pinned = pin(config.model)
    precision = precision_of(config, profile)
    leanest = all_weights(profile.dtypes)[-1]
    check_weights_fit(
        pinned,
        opened,
        leanest if config.model.dtype == "auto" else precision.weights,
        precision.compute,
        limit_bytes=profile.limit_bytes(config.device.capacity_gib),
        device=profile.device,
    )
    events.write(
        ModelOpened(
            path=pinned.path,
            revision=pinned.revision,
            model_type=family.model_type,
            weights=precision.weights,
            compute=precision.compute,
            weight_bytes=weight_bytes(opened, precision.weights, precision.compute),
        )
    )
    return msgspec.structs.replace(config, model=pinned), family, Tower.of(family, opened)


def _asks_for_another(run: RunDir, model: ModelConfig) -> bool:
    """Whether the config names another model or revision than when the run began."""
    try:
        contract = read_contract(run)
    except UsageError:
        return False
    if contract is None:
        return False
    return (contract.model.path, contract.model.asked) != (model.path, model.revision)


class _Opening:
    """Shows how far the photos' headers are read, and lets a stop through meanwhile."""

    def __init__(self, events: EventWriter, control: Control) -> None:
        self._events = events
        self._control = control
        self._next = time.monotonic() + _TELL_SECONDS

    def tell(self, done: int, total: int) -> None:
        """Hears of every photo whose header was read."""
        if done % _CHECK_EVERY == 0:
            self._control.check()
        if time.monotonic() > self._next and done < total:
            self._next = time.monotonic() + _TELL_SECONDS
            message = f"reading the headers of new photos: {done:,} of {total:,}"
            self._events.write(Log(level="info", message=message))


def _told(run: RunDir) -> set[tuple[str, int]]:
    """Rows that an earlier worker of this run has put on record."""
    events = EventReader(run.events_file).poll()
    return {(event.file, event.row) for event in events if isinstance(event, RowSetAside)}


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a run computes."""
    return {name: importlib.metadata.version(name) for name in _RECORDED}
