"""What was proved to fit, and for which inputs."""

import hashlib
from pathlib import Path

import msgspec

from core.config import AnyCheckpointing, LoraConfig, ModelConfig, RunConfig, TuneConfig
from core.events import Change, Setup
from core.planning import PlanReport
from core.profile import GIB, Profile
from core.run_dir import home
from core.tune.worst_case import Extremes
from core.whole_file import write_whole


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen setup; ``key`` is a hash of everything that the proof depends on.

    ``report`` is the plan that it was chosen from; ``proved_for`` is what the key was made of in
    words by dotted names, empty in those of earlier versions.
    """

    key: str
    setup: Setup
    probes: int
    peak_bytes: int
    limit_bytes: int
    why: tuple[str, ...]
    report: PlanReport
    proved_for: dict[str, str] = {}


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof depends on: model, LoRA, batch shapes, card, memory limit, versions, data.

    ``batch`` is samples a step and tokens a micro-batch, ``generation`` photos and new tokens.
    """

    model: ModelConfig
    lora: LoraConfig
    tune: TuneConfig
    batch: tuple[int, int | None]
    checkpointing: AnyCheckpointing
    generation: tuple[int, int]
    profile: Profile
    driver: str | None
    limit_bytes: int
    versions: dict[str, str]
    extremes: Extremes

    @property
    def key(self) -> str:
        """SHA-256 over all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def in_words(self) -> dict[str, str]:
        """All of it by dotted names; of the data, which may be long, a hash."""
        found: dict[str, str] = {}
        for name, value in msgspec.to_builtins(self).items():
            _flatten(name, value, found)
        extremes = msgspec.json.encode(self.extremes)
        found["limit_bytes"] = f"{self.limit_bytes / GIB:.2f} GiB"
        return {
            **{name: words for name, words in found.items() if not name.startswith("extremes.")},
            "extremes": hashlib.sha256(extremes).hexdigest(),
        }


def grounds_of(
    config: RunConfig,
    *,
    profile: Profile,
    driver: str | None,
    limit_bytes: int,
    versions: dict[str, str],
    extremes: Extremes,
) -> Grounds:
    """The grounds of a run's proof."""
    return Grounds(
        model=config.model,
        lora=config.lora,
        tune=config.tune,
        batch=(config.train.batch, config.train.micro_batch_tokens),
        checkpointing=config.train.checkpointing,
        generation=(config.validation.slice_rows, config.validation.max_new_tokens),
        profile=profile,
        driver=driver,
        limit_bytes=limit_bytes,
        versions=versions,
        extremes=extremes,
    )


def _flatten(name: str, value: object, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _flatten(f"{name}.{key}", part, found)
    else:
        items = value if isinstance(value, list | tuple) else (value,)
        found[name] = ", ".join(str(item) for item in items)


def changes_since(file: Path, now: dict[str, str]) -> tuple[Change, ...]:
    """What isn't as it was when the certificate in ``file`` was made; empty without one.

    Where another card explains the rest of its profile and its memory, these are left out.
    """
    if not file.exists():
        return ()
    try:
        before = msgspec.json.decode(file.read_bytes(), type=Certificate).proved_for
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        before = {}
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not before or not names:
        return (Change(name="certificate", before="", now=""),)
    if "profile.name" in names:
        follows = ("profile.", "limit_bytes")
        names = ["profile.name", *(name for name in names if not name.startswith(follows))]
    return tuple(
        Change(name=name, before="", now="")
        if name == "extremes"
        else Change(name=name, before=before.get(name, ""), now=now.get(name, ""))
        for name in names
    )


def under(config: RunConfig, setup: Setup) -> RunConfig:
    """The config with what the setup decided where the config left it to tuning."""
    layers = setup.checkpointing
    return msgspec.structs.replace(
        config,
        model=msgspec.structs.replace(config.model, dtype=setup.weights),
        train=msgspec.structs.replace(
            config.train, checkpointing=int(layers) if layers.isdecimal() else layers
        ),
    )


def shared_file(key: str) -> Path:
    """Where the certificate of that key is kept for other runs of the same."""
    return home() / "cache" / "certificates" / f"{key}.json"


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Writes it whole."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(certificate)))


def read_certificate(path: Path, key: str) -> Certificate | None:
    """The certificate if it's there, readable and was made for ``key``."""
    try:
        certificate = msgspec.json.decode(path.read_bytes(), type=Certificate)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return certificate if certificate.key == key else None
