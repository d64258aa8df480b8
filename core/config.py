"""What a run is asked to do: frozen structs read from and written to TOML."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core import toml_file

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Text = Annotated[str, Meta(min_length=1)]
RunName = Annotated[str, Meta(pattern=r"^[\w][\w.-]{0,63}\Z")]
Targets = Literal["attention", "language", "language+merger", "all"]
Checkpointing = Literal["none", "all"] | Annotated[int, Meta(ge=2)]
AnyCheckpointing = Literal["auto", "none", "all"] | Annotated[int, Meta(ge=2)]
BadRows = Literal["refuse", "set-aside"]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base model: a folder or a hub id, at a revision, in a number format.

    ``dtype`` "auto" leaves it to tuning: bf16 where the card has it, else fp16, and fp32 on the
    CPU, or "nf4", which keeps the language model's frozen weights in 4 bits (bitsandbytes).
    """

    path: Text
    revision: str | None = None
    dtype: Literal["auto", "bf16", "fp16", "fp32", "nf4"] = "auto"


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Training and validation rows (Qwen2-VL JSONL), and what to do with a bad row.

    A photo that leads out of the folder ``root``, links followed, makes its row a bad one.
    """

    train: Text
    validation: Text
    bad_rows: BadRows = "refuse"
    root: Text | None = None


class DeviceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The hardware profile, and a smaller capacity (GiB) than the profile's where wished.

    ``processes`` cards train together, each with its share of every batch.
    """

    profile: Text = "auto"
    capacity_gib: Positive | None = None
    processes: Annotated[int, Meta(ge=1, le=64)] = 1


class TuneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The goal: the largest pixel budget that fits, unless one of the first three is given.

    ``max_pixels`` fixes the budget (pixels), ``hours`` asks for the largest one that ends an epoch
    in that time, ``fastest`` for the most samples a second. ``tolerance`` is how closely the
    largest budget is searched for (a share of it), ``probe_seconds`` what a probe may take.
    """

    max_pixels: Count | None = None
    hours: Positive | None = None
    fastest: bool = False
    tolerance: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    probe_seconds: Positive = 600.0

    def __post_init__(self) -> None:
        goals = (self.max_pixels is not None, self.hours is not None, self.fastest)
        if sum(goals) > 1:
            raise ValueError("max_pixels, hours and fastest: give one of them at most")


class LoraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """LoRA on linear layers: the language model's ("attention": that part of it alone).

    "language+merger" adds those that merge patches into image tokens, "all" the vision tower's.
    """

    rank: Annotated[int, Meta(ge=1, le=1024)] = 16
    alpha: Positive = 32.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    targets: Targets = "language"


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The recipe: samples an optimizer step (``batch``) in packed micro-batches, AdamW, cosine.

    ``micro_batch_tokens`` is what a micro-batch may hold (tokens, text and image); as many as the
    largest sample has where it isn't given. ``checkpointing`` recomputes activations of all
    language layers, of every n-th, or of none. ``feature_cache_gib`` bounds the disk that image
    features may take when there is more than one epoch; 0 keeps none. A checkpoint is saved
    every ``checkpoint_minutes``, and after ``checkpoint_steps`` steps where that comes first; with
    ``keep_every`` n the first one at or after each multiple of n steps is kept for good, besides
    the best and the newest two (0: none).
    """

    epochs: Count = 1
    batch: Count = 16
    micro_batch_tokens: Count | None = None
    checkpointing: AnyCheckpointing = "auto"
    feature_cache_gib: Annotated[float, Meta(ge=0)] = 20.0
    learning_rate: Positive = 1e-4
    warmup_ratio: Annotated[float, Meta(ge=0, lt=1)] = 0.03
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    max_grad_norm: Positive = 1.0
    seed: Whole = 0
    loader_workers: Annotated[int, Meta(ge=0, le=64)] = 4
    checkpoint_minutes: Positive = 10.0
    checkpoint_steps: Count | None = None
    keep_every: Whole = 0


class ValidationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Validation by generation.

    ``share`` bounds the time of validation during training to a share of training time.
    ``window`` is the number of newest predictions in the rolling scores; ``slice_rows`` are
    generated at a time; ``selection_rows`` form the fixed subset that chooses the best
    checkpoint; ``report_rows`` other rows are scored before and after training.
    """

    share: Share = 0.1
    window: Count = 200
    slice_rows: Count = 4
    selection_rows: Count = 64
    report_rows: Count = 200
    max_new_tokens: Count = 64


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run is asked to do."""

    name: RunName
    model: ModelConfig
    data: DataConfig
    device: DeviceConfig = DeviceConfig()
    tune: TuneConfig = TuneConfig()
    lora: LoraConfig = LoraConfig()
    train: TrainConfig = TrainConfig()
    validation: ValidationConfig = ValidationConfig()


def read_config(path: Path) -> RunConfig:
    """Reads a run's TOML; relative data and model paths are taken from the file's folder.

    Raises UsageError that names the file and the key.
    """
    return resolve_paths(toml_file.read(path, RunConfig), path.parent)


def resolve_paths(config: RunConfig, folder: Path) -> RunConfig:
    """The same config with data paths, and the model's if it is a folder, made absolute."""
    data = msgspec.structs.replace(
        config.data,
        train=_absolute(folder, config.data.train),
        validation=_absolute(folder, config.data.validation),
        root=None if config.data.root is None else _absolute(folder, config.data.root),
    )
    model = config.model
    if (folder / Path(model.path).expanduser()).is_dir():
        model = msgspec.structs.replace(model, path=_absolute(folder, model.path))
    return msgspec.structs.replace(config, data=data, model=model)


def _absolute(folder: Path, path: str) -> str:
    return str((folder.absolute() / Path(path).expanduser()).resolve())
