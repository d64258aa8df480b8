"""What a run was begun with, and how what is there now differs from it; no torch here."""

import hashlib
from collections.abc import Iterator
from typing import Any, Self

import msgspec

from core import differences
from core.config import RunConfig
from core.durable import flush
from core.errors import KocrError, UsageError
from core.events import Difference
from core.run_dir import RunDir
from core.whole_file import write_whole

_TOLD = 3
_SHORT = 12
# Every key of a run's config and the name of the difference that a change of it makes. Empty: the
# adapter's numbers don't depend on it, or something else here that is compared holds what it leads
# to: the rows themselves, the model's files, the setup that tuning chose.
CONFIG_KEYS: dict[str, str] = {
    "name": "",
    "model.path": "",
    "model.revision": "",
    "model.dtype": "",
    "data.train": "",
    "data.validation": "",
    "data.bad_rows": "",
    "data.root": "",
    "device.profile": "",
    "device.capacity_gib": "",
    "device.processes": differences.PROCESSES,
    "tune.max_pixels": "",
    "tune.hours": "",
    "tune.fastest": "",
    "tune.tolerance": "",
    "tune.probe_seconds": "",
    "lora.rank": differences.CONFIG,
    "lora.alpha": differences.CONFIG,
    "lora.dropout": differences.CONFIG,
    "lora.targets": differences.CONFIG,
    "train.epochs": differences.CONFIG,
    "train.batch": differences.CONFIG,
    "train.micro_batch_tokens": "",
    "train.checkpointing": "",
    "train.feature_cache_gib": "",
    "train.learning_rate": differences.CONFIG,
    "train.warmup_ratio": differences.CONFIG,
    "train.weight_decay": differences.CONFIG,
    "train.max_grad_norm": differences.CONFIG,
    "train.seed": differences.CONFIG,
    "train.loader_workers": "",
    "train.checkpoint_minutes": "",
    "train.checkpoint_steps": "",
    "train.keep_every": "",
    "validation.share": "",
    "validation.window": "",
    "validation.slice_rows": "",
    "validation.selection_rows": differences.VALIDATION,
    "validation.report_rows": differences.VALIDATION,
    "validation.max_new_tokens": differences.VALIDATION,
}
_EPOCHS = "train.epochs"


class RowsIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The usable rows of a JSONL file, wherever it lies; the sums are SHA-256 (hex).

    ``texts`` is over prompts and answers, ``photos`` over the photos' upright sizes and bytes on
    the disk, both in the file's order. ``source`` is over the file and which lines are used: where
    that is the same nothing else has to be read to know ``texts``.
    """

    file: str
    rows: int
    set_aside: int
    source: str
    texts: str
    photos: str


class ModelIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The base model: of the hub its id and commit, of a folder its ``files`` by name.

    ``asked`` is the revision as the config names it. ``path`` is where the folder was at first.
    """

    path: str
    asked: str | None = None
    commit: str | None = None
    files: dict[str, str] = {}


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the numbers of a run.

    ``config`` holds the keys of CONFIG_KEYS that are compared, ``order`` the version of the order
    of samples, ``setup`` what tuning chose, ``device`` cpu, or cuda and its compute capability.
    """

    config: dict[str, Any]
    train: RowsIdentity
    validation: RowsIdentity
    model: ModelIdentity
    order: int
    versions: dict[str, str]
    device: str
    setup: dict[str, str | int] = {}


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Digests (hex) of what a state that is kept depends on; empty where that isn't known.

    ``training`` is over config and training rows, ``validation`` over which rows are read and how.
    """

    training: str = ""
    validation: str = ""

    def trains_otherwise(self, now: Self) -> bool:
        """Whether config or training rows are others now, as far as both are known."""
        return self.training != now.training and "" not in (self.training, now.training)

    def reads_otherwise(self, now: Self) -> bool:
        """Whether other validation rows are read now, or in another way, as far as is known."""
        return self.validation != now.validation and "" not in (self.validation, now.validation)

    @classmethod
    def of(cls, contract: Contract) -> Self:
        """Those of a contract; more epochs change none."""
        config, rows = contract.config, contract.validation
        by_name = {
            name: {key: config.get(key) for key, made in CONFIG_KEYS.items() if made == name}
            for name in (differences.CONFIG, differences.VALIDATION)
        }
        by_name[differences.CONFIG].pop(_EPOCHS)
        training = by_name[differences.CONFIG], contract.train.texts, contract.train.photos
        reading = by_name[differences.VALIDATION], config.get("train.seed"), rows.texts, rows.photos
        return cls(training=_digest(training), validation=_digest(reading))


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def compared_keys(config: RunConfig) -> dict[str, Any]:
    """The values of the keys that are compared, by dotted name."""
    return {key: value for key, value in dotted_keys(config).items() if CONFIG_KEYS[key]}


def dotted_keys(config: RunConfig) -> dict[str, Any]:
    """All of a config by dotted name."""
    found: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(config).items():
        if isinstance(value, dict):
            found.update({f"{name}.{key}": part for key, part in value.items()})
        else:
            found[name] = value
    return found


def compare(before: Contract, now: Contract) -> tuple[Difference, ...]:
    """What isn't as it was, a record for each thing.

    More epochs are no difference. The setup is compared where both know it.
    """
    return (
        *_config(before.config, now.config),
        *_rows(differences.DATA, before.train, now.train),
        *_rows(differences.VALIDATION, before.validation, now.validation),
        *_model(before.model, now.model),
        *(_each(differences.SETUP, before.setup, now.setup) if now.setup else ()),
        *_each(differences.ORDER, {"order": before.order}, {"order": now.order}),
        *_each(differences.VERSIONS, before.versions, now.versions),
        *_device(before.device, now.device),
    )


def _config(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    for key in {**before, **now}:
        was, is_now = before.get(key), now.get(key)
        raised = key == _EPOCHS and was is not None and is_now is not None and is_now > was
        if was != is_now and not raised:
            name = CONFIG_KEYS.get(key) or differences.CONFIG
            yield Difference(name=name, before=f"{key} = {was}", now=f"{key} = {is_now}")


def _rows(name: str, before: RowsIdentity, now: RowsIdentity) -> Iterator[Difference]:
    if (before.rows, before.texts, before.photos) != (now.rows, now.texts, now.photos):
        yield Difference(name=name, before=_rows_in_words(before), now=_rows_in_words(now))


def _rows_in_words(rows: RowsIdentity) -> str:
    aside = f" ({rows.set_aside:,} set aside)" if rows.set_aside else ""
    sums = f"texts {rows.texts[:_SHORT]}, photos {rows.photos[:_SHORT]}"
    return f"{rows.file}: {rows.rows:,} rows{aside}, {sums}"


def _model(before: ModelIdentity, now: ModelIdentity) -> Iterator[Difference]:
    if before.files and now.files:
        yield from _each(differences.MODEL, before.files, now.files)
    elif not _is_untold(before, now) and _source(before) != _source(now):
        yield Difference(name=differences.MODEL, before=_source(before), now=_source(now))


def _is_untold(before: ModelIdentity, now: ModelIdentity) -> bool:
    """Whether the commit of the same model wasn't known when the run began."""
    asked = (before.path, before.asked) == (now.path, now.asked)
    return asked and before.commit is None and not before.files


def _source(model: ModelIdentity) -> str:
    """A commit of the hub, or a folder, whose files a commit can't be compared with."""
    if model.files:
        return f"the folder {model.path}"
    return f"{model.path} at {model.asked or 'its newest'} ({model.commit})"


def _device(before: str, now: str) -> Iterator[Difference]:
    """A driver that doesn't tell the capability is no other card."""
    known = before.split(), now.split()
    if known[0][0] != known[1][0] or (before != now and len(known[0]) == len(known[1])):
        yield Difference(name=differences.DEVICE, before=before, now=now)


def _each(name: str, before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    """One record for every key whose value isn't the same, None where it's on one side alone."""
    for key in sorted({**before, **now}):
        was, is_now = before.get(key), now.get(key)
        if before and was != is_now:
            yield Difference(
                name=name, before=f"{key} {_short(was)}", now=f"{key} {_short(is_now)}"
            )


def _short(value: object) -> str:
    return "–" if value is None else str(value)


def refusal(run: RunDir, found: tuple[Difference, ...]) -> str:
    """One line: what differs, and the command that goes on all the same."""
    told = "; ".join(f"{one.name}: {one.now} (was {one.before})" for one in found[:_TOLD])
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    allow = " ".join(f"--allow {name}" for name in names_of(found))
    return f"{run.id}: {told}{more}; put it back, or: kocr-tui resume {run.id} {allow}"


def names_of(found: tuple[Difference, ...]) -> tuple[str, ...]:
    """The names that have to be allowed, each once."""
    return tuple(dict.fromkeys(one.name for one in found))


def read_contract(run: RunDir) -> Contract | None:
    """The run's contract, None where there is none; raises UsageError if it can't be read."""
    path = run.contract_file
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contract)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: can't be read: {error}") from error


def write_contract(run: RunDir, contract: Contract) -> None:
    """Writes it whole; on the disk itself when this returns. Raises KocrError if that fails."""
    try:
        write_whole(run.contract_file, msgspec.json.format(msgspec.json.encode(contract)))
        flush(run.path)
    except OSError as error:
        raise KocrError(
            f"{run.contract_file}: can't be written: {error.strerror or error}; make room on the "
            "disk, then resume"
        ) from error
