"""A worst-case trial of a pixel budget on the real device, in a process of its own.

``python -m core.tune.probe SPEC RESULT`` reads a spec and writes what it measured.
"""

import os
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import msgspec

from core.config import RunConfig
from core.data.samples import Sample
from core.errors import GpuLostError, KocrError
from core.evaluate.generate import SignReader
from core.hardware.device import Device, open_device
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.model.load import open_config
from core.model.lora import save_adapter
from core.model.processing import load_processing
from core.model.vision import Tower
from core.profile import Profile
from core.train.cards.unwatched import lost_card_in_one_line
from core.train.loading.micro_batch import MicroBatch
from core.train.optimizer import save_optimizer
from core.train.self_tests import try_fast_paths
from core.train.setup import Precision, Trainable, build
from core.train.step import run_step
from core.tune.worst_case import noise_photo, worst_samples

_STEPS_BEFORE_GENERATION = 2


class ProbeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to try: the run's config with a setup's own values in it, and the worst sample's shape.

    ``width`` and ``height`` are the largest photo's in pixels; ``row_tokens`` what a micro-batch
    may hold, ``prompts`` how many are generated from at a time.
    """

    config: RunConfig
    profile: Profile
    precision: Precision
    max_pixels: int
    width: int
    height: int
    prompt: str
    answer: str
    row_tokens: int
    prompts: int


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the trial measured; ``error`` is set if it failed for another reason than memory.

    ``lost`` says that this was the card's end. ``peak_bytes`` is what the device held at its peak,
    ``outside_bytes`` what the process took on a card beside torch's allocator (context, libraries).
    ``step_seconds`` and ``samples`` are of the last step.
    """

    fits: bool
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    outside_bytes: int | None = None
    micro_batch_tokens: int | None = None
    step_seconds: float | None = None
    samples: int | None = None
    error: str | None = None
    lost: bool = False


def probe(spec: ProbeSpec) -> ProbeResult:
    """Two steps, a generation, a checkpoint and one more step on the worst micro-batch."""
    device = open_device(spec.config.device, spec.profile)
    worst = _Worst(spec)
    tried = attempt(partial(_try, worst, device))
    if isinstance(tried, OutOfMemory):
        return ProbeResult(
            fits=False, limit_bytes=device.limit_bytes, micro_batch_tokens=worst.tokens
        )
    seconds, samples = tried
    return ProbeResult(
        fits=device.peak_bytes() <= device.limit_bytes,
        peak_bytes=device.peak_bytes(),
        limit_bytes=device.limit_bytes,
        outside_bytes=device.outside_bytes(),
        micro_batch_tokens=worst.tokens,
        step_seconds=seconds,
        samples=samples,
    )


class _Worst:
    """The worst micro-batch and the worst prompts of a spec."""

    def __init__(self, spec: ProbeSpec) -> None:
        self.spec = spec
        config, self.family = open_config(spec.config.model)
        self.processing = load_processing(spec.config.model, self.family)
        self._tower = Tower.of(self.family, config)
        self._encoder = self.processing.encoder(spec.max_pixels)
        self._samples = worst_samples(
            self._encoder,
            (spec.width, spec.height),
            spec.prompt,
            spec.answer,
            budget=spec.row_tokens,
            batch=spec.config.train.batch,
        )
        self.tokens = max(spec.row_tokens, sum(len(sample) for sample in self._samples))

    def micro_batches(self) -> list[MicroBatch]:
        """Two, of full rows: gradients of the first lie beside the activations of the second."""
        pad = self.processing.pad_token_id
        return [
            MicroBatch.of(self._samples, pad, self._tower, fill=self.spec.row_tokens)
            for _ in range(2)
        ]

    def prompts(self) -> list[Sample]:
        """As many as are read at a time; one is shorter, since padding asks for a mask."""
        spec = self.spec
        photo = noise_photo(spec.width, spec.height)
        longest = self._encoder.encode(photo, spec.prompt, None)
        shorter = self._encoder.encode(photo, spec.prompt[:-1], None)
        return [longest] * (spec.prompts - 1) + [shorter if spec.prompts > 1 else longest]


def _try(worst: _Worst, device: Device) -> tuple[float, int]:
    """Runs the worst case and returns seconds and samples of the last step."""
    spec, config = worst.spec, worst.spec.config
    with device.session():
        trainable = build(
            config.model,
            spec.precision,
            worst.family,
            worst.processing.pixels,
            config.lora,
            config.train,
            device,
            try_fast_paths(device, nf4=spec.precision.weights == "nf4"),
        )
        trainable.model.train()
        for _ in range(_STEPS_BEFORE_GENERATION):
            _worst_step(trainable, worst)
        reader = SignReader(
            trainable.base,
            worst.processing,
            device,
            max_pixels=spec.max_pixels,
            max_new_tokens=config.validation.max_new_tokens,
        )
        with device.host_work():
            prompts = worst.prompts()
        reader.generate(prompts, full_length=True)
        with tempfile.TemporaryDirectory(prefix="kocr-probe-") as folder:
            save_adapter(trainable.model, Path(folder))
            save_optimizer(
                trainable.optimizer, trainable.parameters, Path(folder) / "optimizer.safetensors"
            )
        return _worst_step(trainable, worst)


def _worst_step(trainable: Trainable, worst: _Worst) -> tuple[float, int]:
    """One step; its seconds and samples."""
    train = worst.spec.config.train
    with trainable.device.host_work():
        micro_batches = worst.micro_batches()
    started = time.perf_counter()
    outcome = run_step(
        trainable,
        micro_batches,
        seed=train.seed,
        learning_rate=train.learning_rate,
        max_grad_norm=train.max_grad_norm,
    )
    outcome.loss.item()
    return time.perf_counter() - started, outcome.samples


def main(arguments: list[str]) -> int:
    """Reads the spec, probes, and writes the result whole."""
    spec = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=ProbeSpec)
    lost: GpuLostError | None = None
    try:
        with lost_card_in_one_line(spec.profile.title):
            result = probe(spec)
    except GpuLostError as error:
        lost = error
        result = ProbeResult(fits=False, error=str(error), lost=True)
    except KocrError as error:
        result = ProbeResult(fits=False, error=str(error))
    Path(arguments[1]).write_bytes(msgspec.json.encode(result))
    if lost is not None:
        traceback.print_exception(lost)
        sys.stderr.flush()
        # Letting go of what is on a lost card can hang or crash.
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
