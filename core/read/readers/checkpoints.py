"""Checkpoints of other models: what is known before they're loaded, and loading them safely."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from safetensors import SafetensorError
from transformers import AutoConfig

from core.config import ModelConfig, ValidationConfig
from core.errors import UsageError, first_line
from core.hardware.device import Device, open_device, require_device
from core.model.identity import model_identity
from core.model.load import pin, refuse_pickled, why_not_loaded
from core.profile import load_profile
from core.read.opening import Described
from core.read.reader import Reader, pixels_of
from core.read.recipe import AT_A_TIME, whole_box
from core.reading import ReadRequest
from core.train.cards.own import hold_cards
from core.train.job import library_versions
from core.train.recovery import in_one_line

Loaded = TypeVar("Loaded")
_NEEDS = re.compile(r"requires the (\S+) library")


@dataclass(frozen=True)
class Checkpoint:
    """A folder, or a hub id at a commit, and the bounds within which it reads."""

    model: ModelConfig
    at_a_time: int
    max_new_tokens: int


OpenReader = Callable[[Checkpoint, Any, Device], Reader]


def describe_checkpoint(
    path: str, request: ReadRequest, processor: Any, open_reader: OpenReader
) -> Described:
    """What is read with, from its config and processor alone, which ``processor`` is the class of.

    ``open_reader`` is given the checkpoint, its processor and the device. Raises UsageError for
    what isn't there, can't be used, or needs a library that isn't installed.
    """
    load(path, partial(AutoConfig.from_pretrained, path, trust_remote_code=False))
    checkpoint = Checkpoint(
        model=pin(ModelConfig(path=path)),
        at_a_time=request.batch or AT_A_TIME,
        max_new_tokens=ValidationConfig().max_new_tokens,
    )
    refuse_pickled(checkpoint.model)
    loaded = load(
        path,
        partial(
            processor.from_pretrained,
            path,
            revision=checkpoint.model.revision,
            trust_remote_code=False,
        ),
    )
    revision = checkpoint.model.revision
    identity = model_identity(checkpoint.model, revision)
    return Described(
        title=path,
        name=Path(path).name,
        at_a_time=checkpoint.at_a_time,
        open=partial(_opened, checkpoint, loaded, open_reader),
        tokens=pixels_of,
        model=path if revision is None else f"{path}@{revision}",
        settings={
            "max_new_tokens": checkpoint.max_new_tokens,
            "batch": checkpoint.at_a_time,
            "model_files": hashlib.sha256(msgspec.json.encode(identity.files)).hexdigest(),
        },
        versions=library_versions(),
    )


@contextmanager
def _opened(checkpoint: Checkpoint, processor: Any, open_reader: OpenReader) -> Iterator[Reader]:
    """The reader, on a card that no other program works on meanwhile."""
    profile = load_profile("auto")
    with hold_cards(profile, 1):
        require_device(profile)
        device = open_device(whole_box(profile), profile)
        with in_one_line(device):
            yield open_reader(checkpoint, processor, device)


def load(path: str, make: Callable[[], Loaded]) -> Loaded:
    """What ``make`` loads of a checkpoint.

    Raises UsageError if that can't be done; a library that it needs and isn't installed is named.
    """
    try:
        return make()
    except ImportError as error:
        raise UsageError(f"{path}: {_missing_library(error)}") from error
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UsageError(f"{path}: can't be loaded: {why_not_loaded(error)}") from error


def load_weights(checkpoint: Checkpoint, kind: Any, device: Device) -> Any:
    """A model of ``kind`` in evaluation mode, in the number format of its checkpoint.

    Nothing of the checkpoint is run: no code of its own, no pickles. Raises UsageError for weights
    that can't be had or aren't all there.
    """
    path = checkpoint.model.path
    model, report = load(
        path,
        partial(
            kind.from_pretrained,
            path,
            revision=checkpoint.model.revision,
            dtype="auto",
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        ),
    )
    if missing := report["missing_keys"]:
        raise UsageError(f"{path}: weights are missing, {sorted(missing)[0]} among them")
    return model.to(device.torch_device).eval()


def _missing_library(error: ImportError) -> str:
    found = _NEEDS.search(str(error))
    name = found[1].lower() if found else error.name
    if name is None:
        return first_line(error)
    which = f", in the version that goes with torch {torch.__version__}" * (name == "torchvision")
    return f"needs {name}, which isn't installed; `pip install {name}`{which}"
