"""What was proved to fit, and for which inputs."""

import hashlib
from pathlib import Path

import msgspec

from core.config import RunConfig
from core.events import Setup
from core.planning import PlanReport
from core.profile import Profile
from core.run_dir import home, write_whole
from core.tune.worst_case import Extremes


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen setup; ``key`` is a hash of everything that the proof depends on.

    ``report`` is the plan that it was chosen from.
    """

    key: str
    setup: Setup
    probes: int
    peak_bytes: int
    limit_bytes: int
    why: tuple[str, ...]
    report: PlanReport


def certificate_key(
    config: RunConfig,
    *,
    profile: Profile,
    driver: str | None,
    limit_bytes: int,
    versions: dict[str, str],
    extremes: Extremes,
) -> str:
    """SHA-256 over model, LoRA, batch shapes, card, driver, memory limit, versions, extremes."""
    proved_for = {
        "model": config.model,
        "lora": config.lora,
        "tune": config.tune,
        "batch": (config.train.batch, config.train.micro_batch_tokens),
        "checkpointing": config.train.checkpointing,
        "generation": (config.validation.slice_rows, config.validation.max_new_tokens),
        "profile": profile,
        "driver": driver,
        "limit_bytes": limit_bytes,
        "versions": versions,
        "extremes": extremes,
    }
    return hashlib.sha256(msgspec.json.encode(proved_for, order="sorted")).hexdigest()


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
