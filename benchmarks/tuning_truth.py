"""What is true of a tuning case by measurement: its real optimum, and whether a choice trains."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tuning_cases import SHORT_ANSWER, TuningCase

from core.data.pack import pack
from core.data.samples import Sample
from core.evaluate.generate import SignReader
from core.hardware.device import Device, open_device
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.profile import GIB
from core.train.loading.micro_batch import MicroBatch
from core.train.self_tests import try_fast_paths
from core.train.setup import Precision, Trainable, build
from core.train.step import run_step
from core.tune.worst_case import noise_photo, worst_samples

ROOM_GIB = 1024.0


@dataclass
class Peaks:
    """Real peaks of a case's worst micro-batch with no limit, each measured once.

    Budgets at which the largest photo has as many image tokens are one level. ``seconds`` are
    those of each level's measurement.
    """

    case: TuningCase
    bytes_of: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.case = self.case.within(int(ROOM_GIB * GIB))
        bounds = self.case.bounds
        budgets = range(bounds.floor, bounds.ceiling + 1)
        self.budgets = {bounds.fill(tokens): tokens for tokens in reversed(budgets)}
        self.levels = sorted(self.budgets)

    def __call__(self, tokens: int) -> int:
        """Peak bytes at a budget."""
        level = self.case.bounds.fill(tokens)
        if level not in self.bytes_of:
            started = time.perf_counter()
            found = self.case.probe(tokens, self.case.row_tokens, 1)
            self.seconds[level] = time.perf_counter() - started
            assert found.peak_bytes is not None
            self.bytes_of[level] = found.peak_bytes
        return self.bytes_of[level]

    def optimum(self, limit: int) -> int | None:
        """The highest level that takes at most ``limit`` bytes; None if there is none.

        All levels are tried from the top where micro-batches hold several samples or a peak falls
        from one level to a higher one; else the last that fits is bracketed by measured peaks.
        """
        if not self.case.case.fixed_row:
            found = self._bracketed(limit)
            if self.rises():
                return found
        return next((level for level in reversed(self.levels) if self._at(level) <= limit), None)

    def rises(self) -> bool:
        """Whether no measured peak is below that of a lower level."""
        known = [self.bytes_of[level] for level in sorted(self.bytes_of)]
        return known == sorted(known)

    def _at(self, level: int) -> int:
        return self(self.budgets[level])

    def _bracketed(self, limit: int) -> int | None:
        low, high = 0, len(self.levels) - 1
        if self._at(self.levels[high]) <= limit:
            return self.levels[high]
        if self._at(self.levels[low]) > limit:
            return None
        by_chord = True
        while high - low > 1:
            middle = self._root(low, high, limit) if by_chord else (low + high) // 2
            by_chord = not by_chord or high - low < 8
            middle = min(max(middle, low + 1), high - 1)
            if self._at(self.levels[middle]) <= limit:
                low = middle
            else:
                high = middle
        return self.levels[low]

    def _root(self, low: int, high: int, limit: int) -> int:
        """Index of the level at which the chord of two levels reaches ``limit``."""
        first, last = self.levels[low], self.levels[high]
        rise = self._at(last) - self._at(first)
        tokens = first + (limit - self._at(first)) * (last - first) / max(1, rise)
        inside = [place for place in range(low, high) if self.levels[place] <= tokens]
        return inside[-1] if inside else low


class Training:
    """Real training of a case at a budget of image tokens, under its limit.

    ``prompts`` photos are read at a time.
    """

    def __init__(self, case: TuningCase, tokens: int, prompts: int = 1) -> None:
        self._case = case
        self._prompts = prompts
        self._tokens = tokens
        self._encoder = case.processing.encoder(case.case.pixels(tokens))

    def holds(self, work: Callable[[Trainable], object]) -> bool:
        """Whether ``work`` on a model made for the case stays within the limit."""
        device = open_device(self._case.config.device, self._case.profile)
        return not isinstance(attempt(partial(self._run, device, work)), OutOfMemory)

    def _run(self, device: Device, work: Callable[[Trainable], object]) -> None:
        case, candidate = self._case, self._case.question.candidate
        with device.session():
            trainable = build(
                case.config.model,
                Precision(candidate.weights, case.question.compute),
                case.question.architecture.family,
                case.processing.pixels,
                case.config.lora,
                case.config.train,
                device,
                try_fast_paths(device, nf4=False),
            )
            trainable.model.train()
            work(trainable)

    def worst(self, trainable: Trainable) -> None:
        """Steps on the worst micro-batch with accumulation, and generation between them."""
        with trainable.device.host_work():
            samples = self._worst_of(self._case.case.worst(self._tokens))
        fill = self._case.row_tokens
        for micro_batches in (3, 2):
            self._step(trainable, [samples] * micro_batches, fill)
        self._generate(trainable)
        self._step(trainable, [samples] * 3, fill)

    def mixed(self, trainable: Trainable) -> None:
        """Steps on samples of all sizes and texts, packed as training packs them."""
        case, extremes = self._case.case, self._case.extremes
        smallest = min(case.sizes, key=lambda size: size[0] * size[1])
        for sizes, answers in (
            (case.sizes, (extremes.answer, SHORT_ANSWER)),
            ((smallest,), (extremes.answer,)),
        ):
            with trainable.device.host_work():
                worst = self._worst_of(case.worst(self._tokens))
                budget = max(case.row_tokens, sum(map(len, worst)))
                samples = [
                    self._sample(sizes[place % len(sizes)], answers[place % len(answers)])
                    for place in range(case.batch)
                ]
            text = case.text.total
            groups = pack([sample.image_tokens + text for sample in samples], budget)
            self._step(trainable, [[samples[place] for place in group] for group in groups])

    def first_photo(self, trainable: Trainable) -> None:
        """Two steps on whatever sample comes first."""
        with trainable.device.host_work():
            samples = self._worst_of(self._case.first)
        for _ in range(2):
            self._step(trainable, [samples])

    def _generate(self, trainable: Trainable) -> None:
        case = self._case
        reader = SignReader(
            trainable.base,
            case.processing,
            trainable.device,
            max_pixels=case.case.pixels(self._tokens),
            max_new_tokens=case.case.new_tokens,
        )
        with trainable.device.host_work():
            prompts = [self._sample(case.case.worst(self._tokens), None)] * self._prompts
        reader.generate(prompts, full_length=True)

    def _sample(self, size: tuple[int, int], answer: str | None) -> Sample:
        return self._encoder.encode(noise_photo(*size), self._case.extremes.prompt, answer)

    def _worst_of(self, photo: tuple[int, int]) -> list[Sample]:
        extremes, case = self._case.extremes, self._case.case
        return worst_samples(
            self._encoder,
            photo,
            extremes.prompt,
            extremes.answer,
            budget=case.row_tokens,
            batch=case.batch,
        )

    def _step(self, trainable: Trainable, groups: list[list[Sample]], fill: int = 0) -> None:
        """One optimizer step of a micro-batch a group, in rows padded up to ``fill`` tokens."""
        pad, tower = self._case.processing.pad_token_id, self._case.tower
        with trainable.device.host_work():
            micro_batches = [MicroBatch.of(group, pad, tower, fill=fill) for group in groups]
        run_step(trainable, micro_batches, seed=0, learning_rate=1e-4, max_grad_norm=1.0)
