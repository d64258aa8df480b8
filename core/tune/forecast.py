"""One setup planned on its own: the largest pixel budget at which its traced peak fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from core.config import LoraConfig, TrainConfig
from core.model.families.family import trains_vision
from core.model.flops import StepFlops
from core.profile import GIB
from core.train.setup import Precision
from core.tune.case import Case
from core.tune.fake_model import Architecture, meta_model
from core.tune.plan import Kernels, Traced, Tracer
from core.tune.reasons import explain
from core.tune.search import (
    Bounds,
    NotMonotoneError,
    Point,
    Trial,
    best_fit,
    next_bisection,
    next_trace,
    solution,
)
from core.tune.space import Candidate
from core.tune.speed import Speed, mean_work, samples_per_s, within_hours

# Points, the budget that is predicted to fit, and why.
_Solved = tuple[tuple[Point, ...], int | None, tuple[str, ...]]

# cuBLAS holds 8 MiB a handle and stream on most cards, 32 MiB on Hopper (PyTorch's CUDA notes).
WORKSPACE_BYTES = {"cpu": 0, "cuda": 32 * 2**20}


@dataclass(frozen=True)
class Question:
    """What is asked of a forecast; everything in it can go to another process.

    ``limit_bytes`` is what the run may use. ``max_pixels`` fixes the budget, ``hours`` bounds it by
    the time of an epoch. ``tolerance`` is how closely the largest budget is searched for.
    """

    architecture: Architecture
    candidate: Candidate
    compute: str
    lora: LoraConfig
    train: TrainConfig
    case: Case
    device: str
    kernels: Kernels
    limit_bytes: int
    speed: Speed
    max_pixels: int | None = None
    hours: float | None = None
    tolerance: float = 0.05


@dataclass(frozen=True)
class Giant:
    """A photo that stands alone: its image tokens, the next photo's, and the bytes it costs."""

    tokens: int
    following: int
    costs_bytes: int


@dataclass(frozen=True)
class Forecast:
    """What a setup reaches: a budget of ``tokens`` image tokens, the least where nothing ``fits``.

    ``points`` are all peaks that were traced, ``traced`` the one at ``tokens``, and ``peak_bytes``
    what it takes on the device. ``row_tokens`` are what a micro-batch may hold, ``prompts`` how
    many photos validation reads at a time.
    """

    candidate: Candidate
    tokens: int
    fits: bool
    row_tokens: int
    prompts: int
    points: tuple[Point, ...]
    traced: Traced
    peak_bytes: int
    samples_per_s: float | None
    why: tuple[str, ...]
    giant: Giant | None = None


class Forecaster:
    """Answers a question, and remembers traces for a search that goes on with probes."""

    def __init__(self, question: Question) -> None:
        self.question = question
        candidate = question.candidate
        precision = Precision(candidate.weights, question.compute)
        self._lora = msgspec.structs.replace(
            question.lora, rank=candidate.rank, targets=candidate.targets
        )
        train = msgspec.structs.replace(question.train, checkpointing=candidate.checkpointing)
        self._tracer = Tracer(question.architecture, precision, self._lora, train, question.kernels)
        self._traced: dict[tuple[int, int, int], Traced] = {}
        base = meta_model(question.architecture, precision)
        self.flops = StepFlops.of(base, trains_vision=trains_vision(self._lora.targets))
        self.bounds = self._bounds()

    def trace(self, tokens: int, row_tokens: int, prompts: int = 1) -> Traced:
        """The peaks of the worst case at a budget."""
        key = self.bounds.fill(tokens), row_tokens, prompts
        if key not in self._traced:
            case = self.question.case
            self._traced[key] = self._tracer.trace(
                case.micro_batch(tokens, row_tokens),
                case.prompts(tokens, prompts),
                case.new_tokens,
                row_tokens,
            )
        return self._traced[key]

    def peak(self, tokens: int, row_tokens: int, prompts: int = 1) -> int:
        """Predicted peak bytes on the device."""
        traced = self.trace(tokens, row_tokens, prompts)
        return traced.peak_bytes + WORKSPACE_BYTES[self.question.device]

    def rate(self, tokens: int, row_tokens: int = 0) -> float | None:
        """Predicted samples a second at a budget."""
        question = self.question
        return samples_per_s(
            question.speed,
            self.flops,
            question.case,
            tokens,
            question.candidate,
            window_patches(question.architecture.config),
            row_tokens,
        )

    def measured_rate(
        self, tokens: int, row_tokens: int, seconds: float | None, samples: int | None
    ) -> float | None:
        """Samples a second over the data set, where a step took ``seconds`` for worst samples."""
        if not seconds or not samples:
            return None
        question = self.question
        worst = replace(question.case, sizes=(question.case.worst(tokens),), counts=(1,))
        window = window_patches(question.architecture.config)
        work = mean_work(worst, tokens, window)
        idle = Speed(operations=1.0, bandwidth=None, measured=True)
        operations = idle.seconds(self.flops, work, question.candidate, rows=1) * samples / seconds
        speed = Speed(operations=operations, bandwidth=None, measured=True)
        return samples_per_s(
            speed, self.flops, question.case, tokens, question.candidate, window, row_tokens
        )

    def answer(self) -> Forecast:
        """The largest budget that is predicted to fit, with longer rows where memory is left."""
        question = self.question
        points, tokens, why = self._fixed() or self._solve(self.shortest_row)
        budget = self.bounds.floor if tokens is None else tokens
        row_tokens, prompts = self.shortest_row, 1
        if tokens is not None:
            row_tokens, prompts = self._most(tokens)
        if row_tokens > self.shortest_row:
            why = (*why, self._longer_rows(budget, row_tokens, prompts))
        return Forecast(
            candidate=question.candidate,
            tokens=budget,
            fits=tokens is not None,
            row_tokens=row_tokens,
            prompts=prompts,
            points=points,
            traced=self.trace(budget, row_tokens, prompts),
            peak_bytes=self.peak(budget, row_tokens, prompts),
            samples_per_s=self.rate(budget, row_tokens),
            why=why,
            giant=self._giant(budget, row_tokens),
        )

    def _fixed(self) -> _Solved | None:
        """The solution where the budget is fixed and all that is wished for fits: one trace."""
        case, tokens = self.question.case, self.bounds.floor
        if tokens != self.bounds.ceiling:
            return None
        row_tokens = self._longest_row(tokens)
        peak = self.peak(tokens, row_tokens, case.most_prompts(tokens, row_tokens))
        if peak > self.question.limit_bytes:
            return None
        points = (Point(tokens, peak),)
        return points, tokens, self._explained(points)

    def _giant(self, tokens: int, row_tokens: int) -> Giant | None:
        found = self.question.case.giant(tokens)
        if found is None:
            return None
        most, following = found
        without = self.peak(max(self.bounds.floor, following), row_tokens)
        return Giant(most, following, self.peak(tokens, row_tokens) - without)

    def _most(self, tokens: int) -> tuple[int, int]:
        """The longest row and the most prompts that are predicted to fit at a budget."""
        case, limit = self.question.case, self.question.limit_bytes
        row_tokens = self._longest_row(tokens)
        prompts = case.most_prompts(tokens, row_tokens)
        if self.peak(tokens, row_tokens, prompts) <= limit:
            return row_tokens, prompts
        if not case.fixed_row and self.peak(tokens, row_tokens) > limit:
            row_tokens = self.shortest_row
        return row_tokens, self._most_prompts(tokens, row_tokens)

    def _longest_row(self, tokens: int) -> int:
        wished = self.question.case.row_tokens
        return wished if wished > self._alone(tokens) else self.shortest_row

    def _most_prompts(self, tokens: int, row_tokens: int) -> int:
        """As many as fit beside the weights, by the line through one and as many as is asked."""
        most = self.question.case.most_prompts(tokens, row_tokens)
        if most == 1:
            return 1
        one, all_ = (
            self.trace(tokens, row_tokens, count).by_phase["generation"] for count in (1, most)
        )
        room = self.question.limit_bytes - WORKSPACE_BYTES[self.question.device]
        if all_ > room:
            most = max(1, 1 + (most - 1) * (room - one) // (all_ - one))
        return most if self.peak(tokens, row_tokens, most) <= self.question.limit_bytes else 1

    def _longer_rows(self, tokens: int, row_tokens: int, prompts: int) -> str:
        peak = self.peak(tokens, row_tokens, prompts) / GIB
        return f"Rows of {row_tokens:,} tokens are predicted to fit as well, in {peak:.2f} GiB."

    @property
    def traces(self) -> int:
        """Traces that were made so far."""
        return len(self._traced)

    @property
    def shortest_row(self) -> int:
        """What a micro-batch holds while the budget is searched for: one sample, if not fixed."""
        case = self.question.case
        return case.row_tokens if case.fixed_row else 1

    def _alone(self, tokens: int) -> int:
        return self.bounds.fill(tokens) + self.question.case.text.total

    def _bounds(self) -> Bounds:
        question = self.question
        bounds = question.case.bounds(question.max_pixels)
        if question.hours is None:
            return bounds
        return within_hours(bounds, question.hours, question.case.rows, self.rate)

    def _explained(self, points: Sequence[Point]) -> tuple[str, ...]:
        question = self.question
        pixels = question.case.geometry.pixels_a_token
        bounds, tolerance = self.bounds, question.tolerance
        return explain(points, (), bounds, question.limit_bytes, tolerance, pixels)

    def _solve(self, row_tokens: int) -> _Solved:
        question = self.question
        points: list[Point] = []
        limit, tolerance = question.limit_bytes, question.tolerance
        try:
            while tokens := next_trace(points, limit, self.bounds, tolerance):
                points.append(Point(tokens, self.peak(tokens, row_tokens)))
            solved = solution(points, limit, self.bounds)
            # What lies on a chord is traced too, and may turn out to be a little over the limit.
            while solved is not None and self._untraced(points, solved):
                points.append(Point(solved, self.peak(solved, row_tokens)))
                solved = solution(points, limit, self.bounds)
            why = self._explained(points)
        except NotMonotoneError as error:
            return tuple(points), self._bisect(row_tokens), (str(error),)
        return tuple(points), solved, why

    def _untraced(self, points: list[Point], tokens: int) -> bool:
        fill = self.bounds.fill
        return fill(tokens) not in {fill(point.tokens) for point in points}

    def _bisect(self, row_tokens: int) -> int | None:
        trials: list[Trial] = []
        question = self.question
        while tokens := next_bisection(trials, self.bounds, question.tolerance):
            peak = self.peak(tokens, row_tokens)
            trials.append(Trial(tokens, peak <= question.limit_bytes, peak))
        return best_fit(trials)


def window_patches(config: Any) -> int | None:
    """Patches of a tower's window (transformers' config), None where it has none."""
    vision = config.vision_config
    window = getattr(vision, "window_size", None)
    return None if window is None else int((window // vision.patch_size) ** 2)


def forecast(question: Question) -> Forecast:
    """The answer to one question, for a pool of processes."""
    return Forecaster(question).answer()
