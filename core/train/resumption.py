"""Holding a run to what it was begun with."""

import importlib.metadata
from dataclasses import replace

import msgspec

from core import differences
from core.contract import (
    Contract,
    Keys,
    compare,
    compared_keys,
    names_of,
    read_contract,
    refusal,
    write_contract,
)
from core.data.identity import rows_identity
from core.data.order import ORDER_VERSION, steps_per_epoch
from core.errors import UsageError
from core.events import Differed, Difference, Log, ResumeRefused, Setup
from core.hardware.nvml import auto_card
from core.model.identity import model_identity
from core.profile import Profile
from core.train.checkpoints import checkpoint
from core.train.job import Job

_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "numpy",
    "pillow",
)
# The shapes of the adapter's matrices follow from these.
_ADAPTER_KEYS = ("lora.rank", "lora.targets")


class Resumption:
    """A run's contract against what is there now; the setup is known once tuning has chosen it.

    Raises UsageError, after telling ResumeRefused, for a difference that isn't ``allowed`` by
    name, and for one with which the run's checkpoints can't go on.
    """

    def __init__(self, job: Job, asked_revision: str | None, allowed: frozenset[str]) -> None:
        self._job = job
        self._allowed = allowed
        self._lost: tuple[Difference, ...] = ()
        self._begun = self._read()
        self._done = _steps_done(job)
        self._now = _observe(job, asked_revision, self._begun)
        self._refuse_another_adapter()
        if self._begun is None or _steps_an_epoch(self._begun) == _steps_an_epoch(self._now):
            self._refuse_too_few_epochs()
        self._found = self._check()
        self._refuse_too_few_epochs()

    @property
    def job(self) -> Job:
        """The job that knows what its numbers depend on, and to keep the contract."""
        names = frozenset(names_of(self._found))
        same_model = self._begun is not None and differences.MODEL not in names
        path = self._begun.model.path if self._begun is not None and same_model else None
        return replace(self._job, keys=Keys.of(self._now), begin=self._keep, first_model_path=path)

    def settle(self, setup: Setup) -> Job:
        """The same once the setup is checked, too; tells what differs with everyone's leave."""
        chosen: dict[str, str | int] = {
            "weights": setup.weights,
            "max_pixels": setup.max_pixels,
            "micro_batch_tokens": setup.micro_batch_tokens,
        }
        self._now = msgspec.structs.replace(self._now, setup=chosen)
        self._found = self._check()
        if self._found:
            self._job.events.write(Differed(differences=self._found))
        return self.job.under(setup)

    def _keep(self) -> None:
        """Puts on record what the run goes on with."""
        begun, now = self._begun, self._now
        if begun is None and not self._lost and self._done:
            said = "an earlier version began this run; what is there now is on record from here on"
            self._job.events.write(Log(level="info", message=said))
        if begun is not None and differences.MODEL not in names_of(self._found):
            now = msgspec.structs.replace(now, model=begun.model)
        if now != begun:
            write_contract(self._job.run, now)

    def _read(self) -> Contract | None:
        try:
            return read_contract(self._job.run)
        except UsageError as error:
            lost = Difference(name=differences.UNREADABLE, before="whole", now=str(error))
            self._lost = (lost,)
            return None

    def _check(self) -> tuple[Difference, ...]:
        """What differs; all of it is allowed."""
        found = self._lost
        if self._begun is not None:
            found += compare(self._begun, self._now)
        if not self._allowed.issuperset(names_of(found)):
            self._job.events.write(ResumeRefused(differences=found))
            raise UsageError(refusal(self._job.run, found))
        return found

    def _refuse_another_adapter(self) -> None:
        if self._begun is None or not self._done:
            return
        for key in _ADAPTER_KEYS:
            was, now = self._begun.config.get(key), self._now.config[key]
            if was != now:
                raise UsageError(
                    f"{self._job.run.config_file}: {key} = {now}: the run's adapter was begun with "
                    f"{was}, which can't change; put it back, or train anew"
                )

    def _refuse_too_few_epochs(self) -> None:
        epochs, an_epoch = self._job.config.train.epochs, _steps_an_epoch(self._now)
        if self._done > an_epoch * epochs:
            raise UsageError(
                f"{self._job.run.config_file}: train.epochs = {epochs} ends at step "
                f"{an_epoch * epochs:,}, but {self._done:,} steps are done; raise it to "
                f"{-(-self._done // an_epoch)} or more"
            )


def _steps_an_epoch(contract: Contract) -> int:
    return steps_per_epoch(contract.train.rows, contract.config["train.batch"])


def _steps_done(job: Job) -> int:
    """The step of the newest checkpoint that is whole by sizes, 0 where there is none."""
    for path in reversed(checkpoint.in_order(job.run.checkpoints)):
        if checkpoint.verify(path, hashes=False) is None:
            return checkpoint.step_of(path)
    return 0


def _observe(job: Job, asked_revision: str | None, begun: Contract | None) -> Contract:
    return Contract(
        config=compared_keys(job.config),
        train=rows_identity(job.train_rows, begun.train if begun else None),
        validation=rows_identity(job.validation_rows, begun.validation if begun else None),
        model=model_identity(job.config.model, asked_revision),
        order=ORDER_VERSION,
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        device=_device(job.profile),
    )


def _device(profile: Profile) -> str:
    """Asked of the driver: torch would take memory of the card for the answer."""
    card = auto_card() if profile.device == "cuda" else None
    capability = card.compute_capability if card is not None else None
    if capability is None:
        return profile.device
    return f"{profile.device} {capability[0]}.{capability[1]}"
