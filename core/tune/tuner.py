"""Finds the largest pixel budget that fits: search, probes and certificate together."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.errors import KocrError
from core.events import ProbeFinished, ProbeStarted, Setup, Tuned
from core.profile import GIB
from core.train.control import Control
from core.train.crew import environment_alone
from core.train.job import Job, library_versions
from core.tune.certificate import (
    Certificate,
    certificate_key,
    read_certificate,
    write_certificate,
)
from core.tune.probe import ProbeResult, ProbeSpec
from core.tune.search import Bounds, Trial, best_fit, explain, next_trial
from core.tune.worst_case import Extremes, WorstPhoto, ceiling_tokens, find_extremes, worst_photo

_POLL_SECONDS = 0.2


class _Measured(NamedTuple):
    setup: Setup
    result: ProbeResult


def tune(job: Job) -> Certificate:
    """The certificate of this run: the one on file if it still holds, else a new one.

    Raises KocrError if not even the smallest budget fits, or a fixed one doesn't.
    """
    extremes = find_extremes(job.train_rows, job.validation_rows, job.processing.text.token_count)
    key = certificate_key(
        job.config,
        precision=job.precision,
        device=job.profile.name,
        limit_bytes=job.limit_bytes,
        versions=library_versions(),
        extremes=extremes,
    )
    certificate = read_certificate(job.run.certificate_file, key)
    reused = certificate is not None
    if certificate is None:
        job.control.enter("tuning")
        certificate = _Search(job, extremes).run(key)
        write_certificate(job.run.certificate_file, certificate)
    job.events.write(
        Tuned(
            choice=certificate.setup,
            probes=certificate.probes,
            reused=reused,
            why=certificate.why,
        )
    )
    return certificate


class _Search:
    """One search; every trial is told as it begins and ends."""

    def __init__(self, job: Job, extremes: Extremes) -> None:
        self._job = job
        self._extremes = extremes
        self._geometry = job.processing.geometry
        self._bounds = self._find_bounds()
        self._measured: dict[int, _Measured] = {}
        self._why: list[str] = []

    def _find_bounds(self) -> Bounds:
        ceiling = ceiling_tokens(self._extremes, self._geometry)
        fixed = self._job.config.tune.max_pixels
        if fixed is not None:
            tokens = max(1, fixed // self._geometry.pixels_a_token)
            return Bounds(tokens, tokens)
        floor = -(-self._geometry.min_pixels // self._geometry.pixels_a_token)
        return Bounds(min(floor, ceiling), ceiling)

    def run(self, key: str) -> Certificate:
        """Searches to the end; budgets that the worst photo fills alike are probed once."""
        trials: list[Trial] = []
        tolerance = self._job.config.tune.tolerance
        while (tokens := next_trial(trials, self._bounds, tolerance)) is not None:
            photo = worst_photo(self._extremes, self._geometry, self._pixels(tokens))
            if photo.image_tokens not in self._measured:
                self._measured[photo.image_tokens] = self._measure(tokens, photo)
            measured = self._measured[photo.image_tokens]
            trials.append(Trial(tokens, measured.result.fits))
            self._why.append(
                explain(trials[-1], photo.image_tokens, self._bounds, self._geometry.pixels_a_token)
            )
        chosen = best_fit(trials)
        if chosen is None:
            raise KocrError(self._nothing_fits())
        return self._certificate(key, chosen)

    def _certificate(self, key: str, tokens: int) -> Certificate:
        photo = worst_photo(self._extremes, self._geometry, self._pixels(tokens))
        setup, result = self._measured[photo.image_tokens]
        assert result.peak_bytes is not None
        assert result.limit_bytes is not None
        return Certificate(
            key=key,
            setup=msgspec.structs.replace(setup, max_pixels=self._pixels(tokens)),
            probes=len(self._measured),
            peak_bytes=result.peak_bytes,
            limit_bytes=result.limit_bytes,
            why=tuple(self._why),
        )

    def _pixels(self, tokens: int) -> int:
        return tokens * self._geometry.pixels_a_token

    def _measure(self, tokens: int, photo: WorstPhoto) -> _Measured:
        number = len(self._measured) + 1
        spec = ProbeSpec(
            config=self._job.config,
            profile=self._job.profile,
            precision=self._job.precision,
            max_pixels=self._pixels(tokens),
            width=photo.width,
            height=photo.height,
            prompt=self._extremes.prompt,
            answer=self._extremes.answer,
        )
        setup = self._setup(spec.max_pixels, photo.image_tokens)
        self._job.events.write(ProbeStarted(probe=number, setup=setup))
        started = time.monotonic()
        result = run_probe(spec, self._job.control, self._job.config.tune.probe_seconds)
        setup = _with_result(setup, result)
        self._job.events.write(
            ProbeFinished(
                probe=number,
                setup=setup,
                fits=result.fits,
                peak_bytes=result.peak_bytes,
                seconds=time.monotonic() - started,
                reason=_reason(result),
            )
        )
        return _Measured(setup, result)

    def _setup(self, max_pixels: int, image_tokens: int) -> Setup:
        return Setup(
            weights=self._job.precision.weights,
            rank=self._job.config.lora.rank,
            targets=self._job.config.lora.targets,
            checkpointing=str(self._job.config.train.checkpointing),
            micro_batch_tokens=0,
            max_pixels=max_pixels,
            image_tokens=image_tokens,
            text_tokens=self._job.processing.text.token_count(
                self._extremes.prompt, self._extremes.answer
            ),
        )

    def _nothing_fits(self) -> str:
        pixels = self._pixels(self._bounds.floor)
        gib = self._job.limit_bytes / GIB
        return (
            f"a pixel budget of {pixels:,} does not fit in {gib:.2f} GiB; choose a smaller "
            "train.micro_batch_tokens, lora.rank or tune.max_pixels, or a card with more memory"
        )


def run_probe(spec: ProbeSpec, control: Control, limit_seconds: float) -> ProbeResult:
    """Runs one probe process; it's killed when the run has to leave or the time is over.

    Raises KocrError if the probe fails for another reason than memory.
    """
    with tempfile.TemporaryDirectory(prefix="kocr-probe-") as folder:
        spec_file, result_file = Path(folder) / "spec.json", Path(folder) / "result.json"
        spec_file.write_bytes(msgspec.json.encode(spec))
        command = [sys.executable, "-P", "-m", "core.tune.probe", str(spec_file), str(result_file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment_alone()) as process:
            try:
                _wait(process, control, limit_seconds)
            finally:
                process.kill()
        if process.returncode != 0 or not result_file.exists():
            raise KocrError(
                f"the probe of {spec.max_pixels:,} pixels died with exit status "
                f"{process.returncode}; worker.log has its last words"
            )
        result = msgspec.json.decode(result_file.read_bytes(), type=ProbeResult)
    if result.error is not None:
        raise KocrError(result.error)
    return result


def _wait(process: subprocess.Popen[bytes], control: Control, limit_seconds: float) -> None:
    deadline = time.monotonic() + limit_seconds
    while True:
        try:
            process.wait(timeout=_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            before = time.monotonic()
            control.check()
            deadline += time.monotonic() - before
        if time.monotonic() > deadline:
            raise KocrError(
                f"a probe took over {limit_seconds:.0f} s; raise tune.probe_seconds, "
                "or look at worker.log for what held it up"
            )


def _with_result(setup: Setup, result: ProbeResult) -> Setup:
    peak, limit = result.peak_bytes, result.limit_bytes
    return msgspec.structs.replace(
        setup,
        micro_batch_tokens=result.micro_batch_tokens or 0,
        peak_gib=peak / GIB if peak is not None else None,
        headroom_gib=(limit - peak) / GIB if peak is not None and limit is not None else None,
        samples_per_s=result.samples_per_s,
        feasible=result.fits,
    )


def _reason(result: ProbeResult) -> str:
    limit = (result.limit_bytes or 0) / 2**20
    if result.fits:
        return f"fits: peak {(result.peak_bytes or 0) / 2**20:,.0f} of {limit:,.0f} MiB"
    return f"out of memory: needs more than {limit:,.0f} MiB"
