"""What was proved to fit, and for which inputs."""

import hashlib
from pathlib import Path

import msgspec

from core.config import RunConfig
from core.events import Setup
from core.run_dir import write_whole
from core.train.setup import Precision
from core.tune.worst_case import Extremes


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen setup; ``key`` is a hash of everything that the proof depends on."""

    key: str
    setup: Setup
    probes: int
    peak_bytes: int
    limit_bytes: int
    why: tuple[str, ...]


def certificate_key(
    config: RunConfig,
    *,
    precision: Precision,
    device: str,
    limit_bytes: int,
    versions: dict[str, str],
    extremes: Extremes,
) -> str:
    """SHA-256 over model, LoRA, batch shapes, device, memory limit, versions and extremes."""
    proved_for = {
        "model": config.model,
        "lora": config.lora,
        "tune": config.tune,
        "batch": (config.train.batch, config.train.micro_batch_tokens),
        "checkpointing": config.train.checkpointing,
        "generation": (config.validation.slice_rows, config.validation.max_new_tokens),
        "precision": (precision.weights, precision.compute),
        "device": device,
        "limit_bytes": limit_bytes,
        "versions": versions,
        "extremes": extremes,
    }
    return hashlib.sha256(msgspec.json.encode(proved_for, order="sorted")).hexdigest()


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
