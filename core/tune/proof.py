"""One setup proved on the device: probes around its prediction until the budget is settled."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from core.config import RunConfig
from core.events import ProbeFinished, ProbeStarted, Setup, Verdict
from core.hardware.host import is_wsl
from core.profile import GIB, Profile
from core.train.job import Job
from core.train.setup import Precision
from core.tune.certificate import under
from core.tune.forecast import Forecast, Forecaster, Question
from core.tune.probe import ProbeResult, ProbeSpec
from core.tune.reasons import explain
from core.tune.run_probe import ProbeTimeoutError, run_probe
from core.tune.search import (
    NotMonotoneError,
    Point,
    Trial,
    best_fit,
    next_bisection,
    next_probe,
    next_trace,
    prediction,
)
from core.tune.worst_case import Extremes

# The CPU counts what the tracer counts; a card's allocator keeps a little more than it gave out.
_MARGIN = {"cpu": 0.0, "cuda": 0.03}
# A step this many times slower a token than the fastest one has gone to the host's memory.
_CLIFF = 4.0


@dataclass(frozen=True)
class Proof:
    """What a probe measured of a setup that fits, at a budget of ``tokens`` image tokens."""

    tokens: int
    setup: Setup
    result: ProbeResult


MakeProbe = Callable[[int, int, int, int], Proof]


class Prover:
    """Probes setups of one run, one after another; every trial is told as it begins and ends."""

    def __init__(self, job: Job, extremes: Extremes) -> None:
        self._job = job
        self._extremes = extremes
        self.probes = 0
        self._token_seconds: list[float] = []

    def prove(self, question: Question, forecast: Forecast) -> tuple[Proof | None, tuple[str, ...]]:
        """The proved budget of a setup, None where none fits, and why."""
        forecaster = Forecaster(question)
        return Search(forecaster, forecast, partial(self._trial, forecaster)).run()

    def _trial(
        self,
        forecaster: Forecaster,
        tokens: int,
        row_tokens: int,
        prompts: int,
        predicted: int,
    ) -> Proof:
        """One probe."""
        self.probes += 1
        config, profile = self._job.config, self._job.profile
        spec = spec_of(
            config, profile, self._extremes, forecaster.question, tokens, row_tokens, prompts
        )
        setup = self._setup(spec, forecaster.bounds.fill(tokens), predicted)
        self._job.events.write(ProbeStarted(probe=self.probes, setup=setup))
        started = time.monotonic()
        result, verdict, reason = self._run(spec)
        setup = _with_result(setup, result)
        self._job.events.write(
            ProbeFinished(
                probe=self.probes,
                setup=setup,
                fits=result.fits,
                peak_bytes=result.peak_bytes,
                seconds=time.monotonic() - started,
                reason=reason,
                verdict=verdict,
                limit_bytes=result.limit_bytes,
            )
        )
        return Proof(tokens, setup, result)

    def mean_rate(self, question: Question, proof: Proof) -> float | None:
        """Samples a second over the data set, from the operations a second of the proving step."""
        forecaster = Forecaster(question)
        return forecaster.measured_rate(
            proof.tokens,
            proof.setup.micro_batch_tokens,
            proof.result.step_seconds,
            proof.result.samples,
        )

    def _run(self, spec: ProbeSpec) -> tuple[ProbeResult, Verdict, str]:
        """What was measured, what that means, and a sentence; too slow counts as not fitting."""
        try:
            result = run_probe(spec, self._job.control, self._job.config.tune.probe_seconds)
        except ProbeTimeoutError as error:
            return ProbeResult(fits=False), "timed-out", str(error)
        if result.fits and self._at_a_cliff(result):
            return (
                msgspec.structs.replace(result, fits=False),
                "host-memory",
                "out of memory: WSL went on in the host's memory, many times slower",
            )
        return result, "fits" if result.fits else "out-of-memory", _reason(result)

    def _at_a_cliff(self, result: ProbeResult) -> bool:
        """WSL gives host memory where the card has none, which only the time tells (WSL#11050)."""
        if result.step_seconds is None or not result.micro_batch_tokens:
            return False
        each = result.step_seconds / result.micro_batch_tokens
        fastest = min(self._token_seconds, default=each)
        self._token_seconds.append(each)
        return is_wsl() and each > _CLIFF * fastest

    def _setup(self, spec: ProbeSpec, image_tokens: int, predicted: int) -> Setup:
        text = self._job.processing.text
        return Setup(
            weights=spec.precision.weights,
            rank=spec.config.lora.rank,
            targets=spec.config.lora.targets,
            checkpointing=str(spec.config.train.checkpointing),
            micro_batch_tokens=0,
            max_pixels=spec.max_pixels,
            image_tokens=image_tokens,
            text_tokens=text.token_count(self._extremes.prompt, self._extremes.answer),
            prompts=spec.prompts,
            predicted_gib=predicted / GIB,
        )


class Search:
    """The search for one setup's budget, by traces and probes in turn (see core.tune.search).

    ``probe`` makes one, given the budget in image tokens, the tokens of a row, the photos that are
    read at a time, and the predicted bytes.
    """

    def __init__(self, forecaster: Forecaster, forecast: Forecast, probe: MakeProbe) -> None:
        self._forecaster = forecaster
        self._forecast = forecast
        self._question = forecaster.question
        self._probe = probe
        self._points = list(forecast.points)
        self._trials: list[Trial] = []
        self._proofs: dict[int, Proof] = {}
        self._row_tokens = forecaster.shortest_row

    def run(self) -> tuple[Proof | None, tuple[str, ...]]:
        """The largest budget that was proved, None if there is none, and why.

        Where the forecast has longer rows, or reads several photos at a time, that is tried first.
        """
        planned = self._forecast
        if planned.row_tokens > self._row_tokens or planned.prompts > 1:
            proof = self._probe(
                planned.tokens, planned.row_tokens, planned.prompts, planned.peak_bytes
            )
            if proof.result.fits:
                return proof, (_rows_fit(proof.setup),)
        told: list[str] = []
        try:
            self._by_predictions()
        except NotMonotoneError as error:
            told.append(str(error))
            self._points.clear()
            self._bisect()
        chosen = best_fit(self._trials)
        question = self._question
        told += explain(
            self._points,
            self._trials,
            self._forecaster.bounds,
            question.limit_bytes,
            question.tolerance,
            question.case.geometry.pixels_a_token,
        )
        return (None if chosen is None else self._proofs[chosen]), tuple(told)

    def _by_predictions(self) -> None:
        bounds, limit = self._forecaster.bounds, self._question.limit_bytes
        tolerance, margin = self._question.tolerance, _MARGIN[self._question.device]
        while True:
            while tokens := next_trace(
                self._points, limit, bounds, tolerance, self._trials, margin
            ):
                self._points.append(Point(tokens, self._predicted(tokens)))
            predict = prediction(self._points, bounds)
            following = next_probe(self._trials, predict, bounds, limit, tolerance, margin)
            if following is None:
                return
            self._try(following, predict(following))

    def _bisect(self) -> None:
        """The planned budget, which was bisected for in predictions; else a bisection of probes."""
        bounds, tolerance = self._forecaster.bounds, self._question.tolerance
        planned = self._forecast
        self._trials.clear()
        if planned.fits:
            self._try(planned.tokens, planned.peak_bytes)
            if self._trials[0].fits:
                return
        while tokens := next_bisection(self._trials, bounds, tolerance):
            self._try(tokens, self._predicted(tokens))

    def _predicted(self, tokens: int) -> int:
        return self._forecaster.peak(tokens, self._row_tokens)

    def _try(self, tokens: int, predicted: int) -> None:
        proof = self._probe(tokens, self._row_tokens, 1, predicted)
        self._proofs[tokens] = proof
        self._trials.append(Trial(tokens, proof.result.fits, proof.result.peak_bytes))


def spec_of(
    config: RunConfig,
    profile: Profile,
    extremes: Extremes,
    question: Question,
    tokens: int,
    row_tokens: int,
    prompts: int,
) -> ProbeSpec:
    """The probe of a question's setup at a budget of image tokens."""
    candidate, case = question.candidate, question.case
    width, height = case.worst(tokens)
    setup = Setup(
        weights=candidate.weights,
        rank=candidate.rank,
        targets=candidate.targets,
        checkpointing=str(candidate.checkpointing),
        micro_batch_tokens=0,
        max_pixels=0,
        image_tokens=0,
    )
    return ProbeSpec(
        config=under(config, setup),
        profile=profile,
        precision=Precision(candidate.weights, question.compute),
        max_pixels=case.pixels(tokens),
        width=width,
        height=height,
        prompt=extremes.prompt,
        answer=extremes.answer,
        row_tokens=row_tokens,
        prompts=prompts,
    )


def _with_result(setup: Setup, result: ProbeResult) -> Setup:
    peak, limit = result.peak_bytes, result.limit_bytes
    timed = result.samples and result.step_seconds
    return msgspec.structs.replace(
        setup,
        micro_batch_tokens=result.micro_batch_tokens or 0,
        peak_gib=peak / GIB if peak is not None else None,
        headroom_gib=(limit - peak) / GIB if peak is not None and limit is not None else None,
        samples_per_s=result.samples / result.step_seconds
        if timed and result.samples and result.step_seconds
        else None,
        feasible=result.fits,
    )


def _rows_fit(setup: Setup) -> str:
    return (
        f"{setup.max_pixels:,} pixels fit in rows of {setup.micro_batch_tokens:,} tokens, with "
        f"{setup.prompts} photos read at a time: the probe measured {setup.peak_gib or 0:.2f} GiB."
    )


def _reason(result: ProbeResult) -> str:
    limit = (result.limit_bytes or 0) / 2**20
    if result.fits:
        return f"fits: peak {(result.peak_bytes or 0) / 2**20:,.0f} of {limit:,.0f} MiB"
    return f"out of memory: needs more than {limit:,.0f} MiB"
