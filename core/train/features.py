"""The vision-feature cache of a run: whether it is used, and how it is filled."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.config import ModelConfig
from core.data.feature_store import FeatureStore, PhotoKey
from core.hardware.device import Device
from core.model.families.family import trains_vision
from core.profile import GIB
from core.run_dir import home
from core.train.job import Job
from core.train.loading.micro_batch import MicroBatch

_FORMAT = 1
_RESERVE = 2 * GIB

Waiting = tuple[tuple[tuple[PhotoKey | None, int], ...], Callable[[], NDArray[np.uint8]]]


def token_bytes(base: Any) -> int:
    """Bytes of one image token's features, all planes together."""
    planes = 1 + len(getattr(base.model.visual, "deepstack_visual_indexes", ()))
    weight = base.get_input_embeddings().weight
    return int(planes * weight.shape[1] * weight.dtype.itemsize)


def store_folder(job: Job, max_pixels: int) -> Path:
    """Where features lie that were made by this model, processor, budget and number format."""
    made_by = {
        "format": _FORMAT,
        "model": _identity(job.config.model),
        "geometry": job.processing.geometry,
        "pixels": job.processing.pixels,
        "max_pixels": max_pixels,
        "compute": job.precision.compute,
        "device": job.profile.device,
    }
    key = hashlib.sha256(msgspec.json.encode(made_by, order="sorted")).hexdigest()
    return home() / "cache" / "features" / key[:32]


def _identity(model: ModelConfig) -> object:
    """The hub's commit, or sizes and times of a folder's files."""
    folder = Path(model.path).expanduser()
    if not folder.is_dir():
        return [model.path, model.revision]
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*config.json"))
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def features_bytes(job: Job, max_pixels: int, a_token: int) -> int:
    """What the features of all training photos take on disk, in bytes."""
    rows = job.train_rows
    tokens = rows.image_tokens(job.processing.geometry, max_pixels)
    _paths, first = np.unique([rows.photos[i] for i in range(len(rows))], return_index=True)
    return int(tokens[first].sum()) * a_token


def open_features(
    job: Job, max_pixels: int, a_token: int, *, ahead: bool = False
) -> tuple[FeatureStore | None, str | None]:
    """The cache to use, None for none, and a sentence for people where there is something to say.

    With one epoch nothing is seen twice, so only a cache that is there already is used, or one
    that is filled ``ahead``.
    """
    limit = job.config.train.feature_cache_gib * GIB
    if trains_vision(job.config.lora.targets):
        said = "image features change in training with these lora.targets: none are cached"
        return None, said if ahead else None
    folder = store_folder(job, max_pixels)
    there = (folder / "index.sqlite").exists()
    if limit == 0 or (job.config.train.epochs == 1 and not there and not ahead):
        return None, "train.feature_cache_gib is 0: nothing is cached" if ahead else None
    needed = features_bytes(job, max_pixels, a_token)
    if needed > limit:
        return None, (
            f"image features would take {needed / GIB:,.1f} GiB, over train.feature_cache_gib = "
            f"{limit / GIB:g}: none are cached, every epoch computes them anew"
        )
    store = FeatureStore(folder, a_token)
    missing = needed - store.used_bytes()
    free = shutil.disk_usage(folder).free - _RESERVE
    if missing > free:
        return None, (
            f"image features would take {missing / GIB:,.1f} GiB more, {max(0, free) / GIB:,.1f} "
            f"GiB can be had in {folder.parent}: none are cached"
        )
    return store, f"image features are cached in {folder}: {needed / GIB:,.2f} GiB in all"


class FeatureWriter:
    """Puts computed features into the store, each micro-batch's while the next one is computed."""

    def __init__(self, store: FeatureStore, device: Device) -> None:
        self._store = store
        self._device = device
        self._waiting: list[Waiting] = []
        self.failure: str | None = None

    def keep(self, micro: MicroBatch, features: Tensor) -> None:
        """Takes a micro-batch's features without waiting for the device to have them."""
        if self.failure is None:
            self.flush()
            self._waiting.append((micro.photos, self._device.to_host(features)))

    def flush(self) -> None:
        """Writes what waits; a disk that doesn't take it ends caching, not training."""
        waiting, self._waiting = self._waiting, []
        try:
            for photos, fetch in waiting:
                self._write(photos, fetch())
        except OSError as error:
            self.failure = (
                f"{self._store.folder}: {error.strerror or error}: no more image features are "
                "cached, training goes on"
            )

    def _write(
        self, photos: tuple[tuple[PhotoKey | None, int], ...], values: NDArray[np.uint8]
    ) -> None:
        start = 0
        for photo, tokens in photos:
            if photo is not None:
                self._store.put(photo, values[start : start + tokens])
            start += tokens
