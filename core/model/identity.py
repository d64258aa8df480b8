"""What tells a base model from others, wherever its folder lies."""

import hashlib
from pathlib import Path

from core.config import ModelConfig
from core.contract import ModelIdentity

_READ_WHOLE_BYTES = 64 << 20
_SAMPLES = 256
_SAMPLE_BYTES = 16 << 10
_SUFFIXES = {".bin", ".jinja", ".json", ".model", ".safetensors", ".txt"}


def model_identity(pinned: ModelConfig, asked: str | None) -> ModelIdentity:
    """A model of the hub by its commit; a folder by its weights, tokenizer and processor files.

    ``asked`` is the revision as the config names it. Gigabytes aren't read at every resume: of a
    large file 256 samples of 16 KiB, its first and its last bytes among them, stand for the rest.
    """
    folder = Path(pinned.path).expanduser()
    if not folder.is_dir():
        return ModelIdentity(path=pinned.path, asked=asked, commit=pinned.revision)
    files = [path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file()]
    return ModelIdentity(path=pinned.path, files={path.name: _sum(path) for path in sorted(files)})


def _sum(path: Path) -> str:
    """Size (bytes) and a SHA-256 (hex) of all of a file, or of samples of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _READ_WHOLE_BYTES:
            digest = hashlib.file_digest(file, "sha256")
        else:
            digest = hashlib.sha256()
            for number in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return f"{size:,} bytes, {digest.hexdigest()[:16]}"
