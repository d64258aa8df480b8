"""A worst-case trial of a pixel budget on the real device, in a process of its own.

``python -m core.tune.probe SPEC RESULT`` reads a spec and writes what it measured.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import torch

from core.config import RunConfig
from core.data.samples import Sample, SampleEncoder
from core.errors import KocrError
from core.evaluate.generate import SignReader
from core.hardware.device import Device, open_device
from core.model.families.family import Family
from core.model.load import open_config
from core.model.lora import save_adapter
from core.model.processing import Processing, load_processing
from core.model.vision import Tower
from core.profile import Profile
from core.train.loader import MicroBatch
from core.train.optimizer import save_optimizer
from core.train.self_tests import try_fast_paths
from core.train.setup import Precision, Trainable, build
from core.train.step import run_step
from core.tune.worst_case import noise_photo, worst_samples

_STEPS_BEFORE_GENERATION = 2


class ProbeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to try: the run's config, number format, budget and the worst sample's shape."""

    config: RunConfig
    profile: Profile
    precision: Precision
    max_pixels: int
    width: int
    height: int
    prompt: str
    answer: str


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial measured; ``error`` is set if it failed for another reason than memory."""

    fits: bool
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    micro_batch_tokens: int | None = None
    samples_per_s: float | None = None
    error: str | None = None


def probe(spec: ProbeSpec) -> ProbeResult:
    """Two steps, a generation, a checkpoint and one more step on the worst micro-batch."""
    config, family = open_config(spec.config.model)
    processing = load_processing(spec.config.model, family)
    encoder = processing.encoder(spec.max_pixels)
    samples = _worst_samples(spec, encoder)
    tokens = sum(len(sample) for sample in samples)
    device = open_device(spec.config.device, spec.profile)
    tower = Tower.of(family, config)
    try:
        with device.session():
            micro_batch = partial(MicroBatch.of, samples, processing.pad_token_id, tower)
            samples_per_s = _try(spec, family, processing, device, micro_batch, encoder)
    except torch.OutOfMemoryError:
        return ProbeResult(fits=False, limit_bytes=device.limit_bytes, micro_batch_tokens=tokens)
    return ProbeResult(
        fits=device.peak_bytes() <= device.limit_bytes,
        peak_bytes=device.peak_bytes(),
        limit_bytes=device.limit_bytes,
        micro_batch_tokens=tokens,
        samples_per_s=samples_per_s,
    )


def _try(
    spec: ProbeSpec,
    family: Family,
    processing: Processing,
    device: Device,
    micro_batch: Callable[[], MicroBatch],
    encoder: SampleEncoder,
) -> float:
    """Runs the worst case and returns samples a second of the last step."""
    config = spec.config
    fast = try_fast_paths(device, nf4=spec.precision.weights == "nf4")
    trainable = build(
        config.model,
        spec.precision,
        family,
        processing.pixels,
        config.lora,
        config.train,
        device,
        fast,
    )
    trainable.model.train()
    for _ in range(_STEPS_BEFORE_GENERATION):
        _worst_step(trainable, config, micro_batch)
    reader = SignReader(
        trainable.base,
        processing,
        device,
        max_pixels=spec.max_pixels,
        max_new_tokens=config.validation.max_new_tokens,
    )
    prompt = encoder.encode(noise_photo(spec.width, spec.height), spec.prompt, None)
    reader.generate([prompt] * config.validation.slice_rows, full_length=True)
    with tempfile.TemporaryDirectory(prefix="kocr-probe-") as folder:
        save_adapter(trainable.model, Path(folder))
        save_optimizer(
            trainable.optimizer, trainable.parameters, Path(folder) / "optimizer.safetensors"
        )
    started = time.perf_counter()
    samples = _worst_step(trainable, config, micro_batch)
    return samples / (time.perf_counter() - started)


def _worst_step(
    trainable: Trainable, config: RunConfig, micro_batch: Callable[[], MicroBatch]
) -> int:
    """One step, and how many samples it had."""
    # From the second micro-batch on, the gradients of the ones before lie beside its activations.
    outcome = run_step(
        trainable,
        [micro_batch() for _ in range(2)],
        seed=config.train.seed,
        learning_rate=config.train.learning_rate,
        max_grad_norm=config.train.max_grad_norm,
    )
    outcome.loss.item()
    return outcome.samples


def _worst_samples(spec: ProbeSpec, encoder: SampleEncoder) -> list[Sample]:
    return worst_samples(
        encoder,
        (spec.width, spec.height),
        spec.prompt,
        spec.answer,
        budget=spec.config.train.micro_batch_tokens or 0,
        batch=spec.config.train.batch,
    )


def _leave_with_parent() -> None:
    """Ends this process when its parent's end of standard input closes, however the parent died."""
    os.read(0, 1)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Reads the spec, probes, and writes the result whole."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    spec = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=ProbeSpec)
    try:
        result = probe(spec)
    except KocrError as error:
        result = ProbeResult(fits=False, error=str(error))
    Path(arguments[1]).write_bytes(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
