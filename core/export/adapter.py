"""The adapter by itself, in peft's own format."""

from pathlib import Path

from core.export.base_files import parsed, published, write_json
from core.export.source import Source

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def write_adapter(source: Source, folder: Path) -> None:
    """Writes the weights as they are, and peft's config with the base's name and commit.

    Raises KocrError if that config can't be read.
    """
    base, revision = published(source.model)
    config = parsed(source.adapter / CONFIG) | {
        "base_model_name_or_path": base,
        "revision": revision,
        "inference_mode": True,
        "auto_mapping": None,
    }
    write_json(folder / CONFIG, config)
    (folder / WEIGHTS).write_bytes((source.adapter / WEIGHTS).read_bytes())
