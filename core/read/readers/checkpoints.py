"""Loading the checkpoints of other models, with errors that say what to do."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from core.config import ModelConfig
from core.errors import UsageError, first_line
from core.model.load import refuse_pickled, why_not_loaded

Loaded = TypeVar("Loaded")
_NEEDS = re.compile(r"requires the (\S+) library")


def load(path: str, make: Callable[[], Loaded]) -> Loaded:
    """What ``make`` loads of a checkpoint (a folder or hub id).

    Raises UsageError if that can't be done; a library that it needs and isn't installed is named.
    """
    try:
        return make()
    except ImportError as error:
        raise UsageError(f"{path}: {_missing_library(error)}") from error
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UsageError(f"{path}: can't be loaded: {why_not_loaded(error)}") from error


def load_weights(path: str, kind: Any, device: str) -> Any:
    """A model of ``kind`` in evaluation mode, in the number format of its checkpoint.

    Nothing of the checkpoint is run: no code of its own, no pickles. Raises UsageError for weights
    that can't be had or aren't all there.
    """
    refuse_pickled(ModelConfig(path=path))
    model, report = load(
        path,
        lambda: kind.from_pretrained(
            path,
            dtype="auto",
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        ),
    )
    if missing := report["missing_keys"]:
        raise UsageError(f"{path}: weights are missing, {sorted(missing)[0]} among them")
    return model.to(torch.device(device)).eval()


def _missing_library(error: ImportError) -> str:
    found = _NEEDS.search(str(error))
    name = found[1].lower() if found else error.name
    if name is None:
        return first_line(error)
    which = f", in the version that goes with torch {torch.__version__}" * (name == "torchvision")
    return f"needs {name}, which isn't installed; `pip install {name}`{which}"
