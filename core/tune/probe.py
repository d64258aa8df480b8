"""A worst-case trial of a pixel budget on the real device, in a process of its own.

``python -m core.tune.probe SPEC RESULT`` reads a spec and writes what it measured.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image

from core.config import RunConfig
from core.data.samples import Sample
from core.errors import KocrError
from core.evaluate.generate import SignReader
from core.hardware.device import Device, open_device
from core.model.families import Family
from core.model.load import find_family
from core.model.lora import save_adapter
from core.model.processing import Processing, load_processing
from core.profile import Profile
from core.train.loader import MicroBatch
from core.train.optimizer import save_optimizer
from core.train.setup import Trainable, build
from core.train.step import run_step

_STEPS_BEFORE_GENERATION = 2


class ProbeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to try: the run's config, number format, budget and the worst sample's shape."""

    config: RunConfig
    profile: Profile
    weights: str
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
    family = find_family(spec.config.model)
    processing = load_processing(spec.config.model, family)
    sample, prompt = _worst_samples(spec, processing)
    tokens = len(sample) * spec.config.train.micro_batch
    device = open_device(spec.config.device, spec.profile)
    try:
        with device.session():
            samples_per_s = _try(spec, family, processing, device, sample, prompt)
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
    sample: Sample,
    prompt: Sample,
) -> float:
    """Runs the worst case and returns samples a second of the last step."""
    config = spec.config
    trainable = build(
        config.model, spec.weights, family, processing.pixels, config.lora, config.train, device
    )
    trainable.model.train()
    for _ in range(_STEPS_BEFORE_GENERATION):
        _worst_step(trainable, config, processing, sample)
    reader = SignReader(
        trainable.base,
        processing,
        device,
        max_pixels=spec.max_pixels,
        max_new_tokens=config.validation.max_new_tokens,
    )
    reader.generate([prompt] * config.validation.slice_rows, full_length=True)
    with tempfile.TemporaryDirectory(prefix="kocr-probe-") as folder:
        save_adapter(trainable.model, Path(folder))
        save_optimizer(
            trainable.bare_optimizer, trainable.parameters, Path(folder) / "optimizer.safetensors"
        )
    started = time.perf_counter()
    _worst_step(trainable, config, processing, sample)
    samples = config.train.micro_batch * min(2, config.train.accumulation)
    return samples / (time.perf_counter() - started)


def _worst_step(
    trainable: Trainable, config: RunConfig, processing: Processing, sample: Sample
) -> None:
    # From the second micro-batch on, the gradients of the ones before lie beside its activations.
    outcome = run_step(
        trainable,
        [
            _worst_micro_batch(config, processing, sample)
            for _ in range(min(2, config.train.accumulation))
        ],
        seed=config.train.seed,
        learning_rate=config.train.learning_rate,
        max_grad_norm=config.train.max_grad_norm,
    )
    outcome.loss.item()


def _worst_micro_batch(config: RunConfig, processing: Processing, sample: Sample) -> MicroBatch:
    return MicroBatch.of([sample] * config.train.micro_batch, processing.pad_token_id)


def _worst_samples(spec: ProbeSpec, processing: Processing) -> tuple[Sample, Sample]:
    """The training sample and the generation prompt of a noise photo of the worst size."""
    noise = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    encoder = processing.encoder(spec.max_pixels)
    return encoder.encode(photo, spec.prompt, spec.answer), encoder.encode(photo, spec.prompt, None)


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
