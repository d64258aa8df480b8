"""What a model reader is made of, known before any weights are loaded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from peft import LoraConfig as PeftLoraConfig

from core.config import DeviceConfig, ModelConfig, ValidationConfig
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.events import ModelOpened, Setup
from core.hardware.host import memory_bytes
from core.hardware.nvml import auto_card
from core.model.families.family import Family
from core.model.identity import model_identity
from core.model.load import open_config, pin
from core.model.lora import WEIGHTS_FILE, open_adapter
from core.model.processing import Processing, load_processing
from core.model.trained_base import refuse_another_base
from core.profile import GIB, Profile, held_to_card, load_profile
from core.read.budget import DEFAULT_PIXELS, own_budget
from core.read.choice import choose
from core.read.reader import Photo
from core.reading import ReadRequest
from core.run_dir import RunDir
from core.train.checkpoints.checkpoint import ADAPTER_FOLDER, step_of
from core.train.job import library_versions, precision_of
from core.train.setup import Precision
from core.tune.certificate import Certificate, under

AT_A_TIME = 8


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder, what is said of it, and its config."""

    folder: Path
    title: str
    config: PeftLoraConfig


@dataclass(frozen=True)
class Recipe:
    """A base model, perhaps with an adapter, where it reads and within which bounds.

    ``name`` is what its files are named after; ``notes`` are lines for people.
    """

    title: str
    name: str
    model: ModelConfig
    family: Family
    processing: Processing
    precision: Precision
    device: DeviceConfig
    profile: Profile
    adapter: Adapter | None
    max_pixels: int
    at_a_time: int
    max_new_tokens: int
    notes: tuple[str, ...] = ()

    def tokens(self, photo: Photo) -> int:
        """Image tokens that a photo becomes, 0 for one that can't be read."""
        if photo.size is None:
            return 0
        try:
            return self.processing.geometry.image_tokens(*photo.size, self.max_pixels)
        except UnusableError:
            return 0

    def settings(self) -> dict[str, Any]:
        """What else decides the replies, as plain values."""
        identity = model_identity(self.model, self.model.revision)
        weights = self.adapter.folder / WEIGHTS_FILE if self.adapter is not None else None
        return {
            "weights": self.precision.weights,
            "compute": self.precision.compute,
            "max_new_tokens": self.max_new_tokens,
            "batch": self.at_a_time,
            "model_files": hashlib.sha256(msgspec.json.encode(identity.files)).hexdigest(),
            "adapter_sha256": _sha256(weights) if weights is not None else None,
        }

    def model_name(self) -> str:
        """The base by its folder or hub id, and the hub's commit."""
        revision = self.model.revision
        return self.model.path if revision is None else f"{self.model.path}@{revision}"

    def versions(self) -> dict[str, str]:
        """Those of the libraries that decide what is computed."""
        return library_versions()


def recipe_of(request: ReadRequest) -> Recipe:
    """What the request's run, adapter or model is made of; loads no weights.

    Raises UsageError for what isn't there or can't be used, KocrError for a checkpoint that is
    damaged.
    """
    source = request.source
    if source.run is not None:
        return _of_run(RunDir(Path(source.run)), request)
    if source.adapter is not None:
        return _of_adapter(Path(source.adapter), request)
    assert source.model is not None
    name = Path(source.model).name or source.model
    return _elsewhere(ModelConfig(path=source.model), source.model, name, None, request)


def _of_run(run: RunDir, request: ReadRequest) -> Recipe:
    """A run's base as it was certified, with the adapter of one of its checkpoints."""
    config = run.config()
    setup = _setup_of(run)
    if setup is None and request.max_pixels is None:
        raise UsageError(
            f"{run.id}: was never tuned, so its pixel budget isn't known; give --max-pixels, or "
            f"`kocr-tui resume {run.id}` tunes it"
        )
    if setup is not None:
        config = under(config, setup)
    profile = load_profile(config.device.profile)
    if profile.device == "cuda":
        profile, _said = held_to_card(profile, auto_card())
    found, notes = (None, ()) if request.source.base else choose(run, request.source.checkpoint)
    title, name, adapter = f"{run.id} base", "base", None
    if found is not None:
        step = step_of(found)
        folder = found / ADAPTER_FOLDER
        title, name = f"{run.id} step {step}", f"step-{step}"
        adapter = Adapter(folder, title, open_adapter(folder))
    model, family = _pinned(_first_revision(run, config.model))
    if adapter is not None:
        refuse_another_base(run, model)
    return Recipe(
        title=title,
        name=name,
        model=model,
        family=family,
        processing=load_processing(model, family),
        precision=precision_of(config, profile),
        device=config.device,
        profile=profile,
        adapter=adapter,
        max_pixels=request.max_pixels or (setup.max_pixels if setup is not None else 0),
        at_a_time=request.batch or (setup and setup.prompts) or config.validation.slice_rows,
        max_new_tokens=config.validation.max_new_tokens,
        notes=notes,
    )


def _of_adapter(folder: Path, request: ReadRequest) -> Recipe:
    config = open_adapter(folder)
    base = config.base_model_name_or_path
    if not base:
        raise UsageError(
            f"{folder / 'adapter_config.json'}: base_model_name_or_path is missing; put the base's "
            "folder or hub id there"
        )
    if Path(base).is_absolute() and not Path(base).is_dir():
        raise UsageError(
            f"{folder}: its base {base} is not there; put it back, or change "
            "base_model_name_or_path in adapter_config.json"
        )
    model = ModelConfig(path=base, revision=config.revision)
    title = folder.absolute().name
    if request.source.base:
        return _elsewhere(model, base, f"{title}-base", None, request, folder)
    return _elsewhere(model, title, title, Adapter(folder, str(folder), config), request, folder)


def _elsewhere(
    model: ModelConfig,
    title: str,
    name: str,
    adapter: Adapter | None,
    request: ReadRequest,
    folder: Path | None = None,
) -> Recipe:
    """What no run is known of: this box's card, its first number format, the folder's budget."""
    profile = load_profile("auto")
    pinned, family = _pinned(model)
    budget = own_budget(str(folder)) if folder is not None else None
    return Recipe(
        title=title,
        name=name,
        model=pinned,
        family=family,
        processing=load_processing(pinned, family),
        precision=Precision(profile.dtypes[0], profile.dtypes[0]),
        device=whole_box(profile),
        profile=profile,
        adapter=adapter,
        max_pixels=request.max_pixels
        or budget
        or own_budget(pinned.path, pinned.revision)
        or DEFAULT_PIXELS,
        at_a_time=request.batch or AT_A_TIME,
        max_new_tokens=ValidationConfig().max_new_tokens,
    )


def whole_box(profile: Profile) -> DeviceConfig:
    """A card as it is, or all of a box's memory: the CPU's profile is made for small demos."""
    if profile.device == "cpu":
        return DeviceConfig(capacity_gib=memory_bytes() / GIB)
    return DeviceConfig()


def _pinned(model: ModelConfig) -> tuple[ModelConfig, Family]:
    _opened, family = open_config(model)
    return pin(model), family


def _first_revision(run: RunDir, model: ModelConfig) -> ModelConfig:
    """The model at the commit that the run's adapter was trained on."""
    opened = (event for event in run.events().read() if isinstance(event, ModelOpened))
    first = next(opened, None)
    if first is None or first.revision is None or first.path != model.path:
        return model
    return msgspec.structs.replace(model, revision=first.revision)


def _setup_of(run: RunDir) -> Setup | None:
    """The certified setup; raises UsageError for a certificate that can't be read."""
    file = run.certificate_file
    try:
        return msgspec.json.decode(file.read_bytes(), type=Certificate).setup
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: can't be read: {error}; `kocr-tui tune` makes one") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
