"""What the phases of a run share."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from core.config import RunConfig
from core.data.dataset import SignRows, open_rows
from core.event_log import EventWriter
from core.events import DataOpened, RowSetAside
from core.model.families import Family
from core.model.load import find_family
from core.model.processing import Processing, load_processing
from core.profile import Profile
from core.run_dir import RunDir
from core.train.control import Control

_RECORDED = ("torch", "transformers", "peft", "accelerate")


@dataclass(frozen=True)
class Job:
    """A run that is being worked on."""

    run: RunDir
    config: RunConfig
    profile: Profile
    events: EventWriter
    control: Control
    family: Family
    processing: Processing
    train_rows: SignRows
    validation_rows: SignRows

    @property
    def weights(self) -> str:
        """The number format of the base weights: as asked, or the profile's first."""
        asked = self.config.model.dtype
        return self.profile.dtypes[0] if asked == "auto" else asked

    @property
    def limit_bytes(self) -> int:
        """Memory that the run may take, in bytes."""
        return self.profile.limit_bytes(self.config.device.capacity_gib)


def open_job(
    run: RunDir, config: RunConfig, profile: Profile, events: EventWriter, control: Control
) -> Job:
    """Opens model files and data; rows set aside are told one by one."""
    family = find_family(config.model)
    processing = load_processing(config.model, family)
    opened = []
    for path in (config.data.train, config.data.validation):
        rows = open_rows(Path(path), config.data.bad_rows)
        for bad in rows.set_aside:
            events.write(RowSetAside(file=str(rows.path), row=bad.line, reason=bad.reason))
        opened.append(rows)
    train, validation = opened
    events.write(
        DataOpened(
            train_rows=len(train),
            validation_rows=len(validation),
            set_aside=len(train.set_aside) + len(validation.set_aside),
        )
    )
    return Job(run, config, profile, events, control, family, processing, train, validation)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a run computes."""
    return {name: importlib.metadata.version(name) for name in _RECORDED}
