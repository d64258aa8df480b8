"""Finds what fits for a run: plans all setups, proves the best, and writes the certificate."""

from collections.abc import Sequence

import msgspec

from core.errors import KocrError
from core.events import CertificateVoided, Log, Planned, Setup, Tuned
from core.hardware.nvml import Card, auto_card
from core.model.load import open_config
from core.planning import PlannedSetup, PlanReport
from core.profile import GIB
from core.train.job import Job, library_versions
from core.tune.case import case_of_run
from core.tune.certificate import (
    Certificate,
    changes_since,
    grounds_of,
    read_certificate,
    shared_file,
    write_certificate,
)
from core.tune.fake_model import Architecture
from core.tune.forecast import Forecast
from core.tune.plan_report import FASTEST_TOKENS, goal_of, largest_photo, pick, report_of
from core.tune.proof import Proof, Prover
from core.tune.questions import Ground, forecasts
from core.tune.space import ALL_CHECKPOINTING, Candidate, all_weights, space
from core.tune.worst_case import Extremes, find_extremes
from core.whole_file import write_whole


def tune(job: Job) -> Certificate:
    """The certificate of this run: one on file that still holds, else a new one.

    Raises KocrError if not even the smallest budget fits, or a fixed one doesn't.
    """
    extremes = find_extremes(job.train_rows, job.validation_rows, job.processing.text.token_count)
    card = auto_card() if job.profile.device == "cuda" else None
    grounds = grounds_of(
        job.proved_config,
        profile=job.profile,
        driver=card.driver_version if card is not None else None,
        limit_bytes=job.limit_bytes,
        versions=library_versions(),
        extremes=extremes,
    )
    key, words = grounds.key, grounds.in_words()
    own = job.run.certificate_file
    if read_certificate(own, key) is None and (changes := changes_since(own, words)):
        job.events.write(CertificateVoided(changes=changes))
    files = (own, shared_file(key))
    known = (read_certificate(file, key) for file in files)
    certificate = next((one for one in known if one is not None), None)
    reused = certificate is not None
    if certificate is None:
        job.control.enter("tuning")
        certificate = _Tuning(job, extremes, card).run(key)
    certificate = msgspec.structs.replace(certificate, proved_for=words)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_certificate(file, certificate)
    _write_plan(job, certificate.report)
    for warning in certificate.report.warnings:
        job.events.write(Log(level="warning", message=warning))
    job.events.write(
        Tuned(
            choice=certificate.setup,
            probes=certificate.probes,
            reused=reused,
            why=certificate.why,
        )
    )
    return certificate


def _write_plan(job: Job, report: PlanReport) -> None:
    write_whole(job.run.plan_file, msgspec.json.format(msgspec.json.encode(report)))


def free_limit(job: Job, card: Card | None) -> int:
    """Bytes that the run may take: the profile's limit, or less where others are on the card."""
    if card is None or card.free_bytes is None:
        return job.limit_bytes
    headroom = job.profile.capacity_bytes(job.config.device.capacity_gib) - job.limit_bytes
    return min(job.limit_bytes, card.free_bytes - headroom)


class _Tuning:
    """One search through all setups that the config leaves open."""

    def __init__(self, job: Job, extremes: Extremes, card: Card | None) -> None:
        self._job = job
        self._prover = Prover(job, extremes)
        config = job.config
        opened, family = open_config(config.model)
        self._case = case_of_run(
            config,
            job.train_rows,
            extremes,
            job.processing.text,
            job.processing.geometry,
            job.profile.device,
        )
        self._goal = goal_of(config.tune.hours, config.tune.fastest, self._epoch_rows)
        self._ground = Ground(
            architecture=Architecture(opened, family),
            case=self._case,
            profile=job.profile,
            lora=config.lora,
            train=config.train,
            limit_bytes=free_limit(job, card),
            max_pixels=self._max_pixels(),
            hours=config.tune.hours,
            tolerance=config.tune.tolerance,
        )

    @property
    def _epoch_rows(self) -> int:
        return len(self._job.train_rows)

    def _max_pixels(self) -> int | None:
        tune = self._job.config.tune
        if tune.fastest:
            return self._case.pixels(min(FASTEST_TOKENS, max(self._case.native())))
        return tune.max_pixels

    def _candidates(self) -> Sequence[Candidate]:
        config = self._job.config
        dtype, layers = config.model.dtype, config.train.checkpointing
        return space(
            all_weights(self._job.profile.dtypes) if dtype == "auto" else (dtype,),
            (config.lora.rank,),
            (config.lora.targets,),
            ALL_CHECKPOINTING if layers == "auto" else (layers,),
        )

    def run(self, key: str) -> Certificate:
        """Proves setups, the best one first, until one holds."""
        found = self._forecasts()
        untried, why = list(found), list[str]()
        while True:
            taken, choice = pick(untried, self._goal)
            why.append(choice.why)
            _write_plan(self._job, self._report(found, taken, tuple(why)))
            if taken is None:
                raise KocrError(self._nothing_fits(found))
            proof, told = self._prover.prove(self._ground.question(taken.candidate), taken)
            why += told
            if proof is not None:
                return self._certificate(key, proof, found, taken, tuple(why))
            untried.remove(taken)

    def _forecasts(self) -> list[Forecast]:
        """Every setup's, each told as it comes."""
        candidates, job = self._candidates(), self._job
        found: list[Forecast] = []
        job.events.write(Planned(done=0, total=len(candidates)))
        for one in forecasts(self._ground, candidates, lambda _done: job.control.check()):
            job.control.check()
            found.append(one)
            job.events.write(Planned(done=len(found), total=len(candidates)))
        return found

    def _certificate(
        self,
        key: str,
        proof: Proof,
        found: Sequence[Forecast],
        taken: Forecast,
        why: tuple[str, ...],
    ) -> Certificate:
        result = proof.result
        assert result.peak_bytes is not None
        assert result.limit_bytes is not None
        return Certificate(
            key=key,
            setup=proof.setup,
            probes=self._prover.probes,
            peak_bytes=result.peak_bytes,
            limit_bytes=result.limit_bytes,
            why=why,
            report=self._proved(self._report(found, taken, why), proof),
        )

    def _report(
        self, found: Sequence[Forecast], taken: Forecast | None, why: tuple[str, ...]
    ) -> PlanReport:
        """The plan before anything of it is proved."""
        config = self._job.config
        return report_of(
            config.model.path,
            self._job.profile,
            self._job.profile.capacity_bytes(config.device.capacity_gib),
            self._ground.limit_bytes,
            self._case,
            found,
            taken,
            why,
            rows=self._epoch_rows,
            giant=largest_photo(self._job.train_rows),
        )

    def _proved(self, planned: PlanReport, proof: Proof) -> PlanReport:
        """The plan with what was measured of its choice."""
        assert planned.choice is not None
        measured = self._measured(planned.choice, proof)
        setups = tuple(measured if one.chosen else one for one in planned.setups)
        return msgspec.structs.replace(
            planned, choice=measured, setups=setups, probes=self._prover.probes
        )

    def _measured(self, choice: PlannedSetup, proof: Proof) -> PlannedSetup:
        """The choice as it was proved, its speed corrected by how fast the probe's step was."""
        setup: Setup = proof.setup
        rate = self._prover.mean_rate(self._ground.question(_candidate(setup)), proof)
        return msgspec.structs.replace(
            choice,
            micro_batch_tokens=setup.micro_batch_tokens,
            max_pixels=setup.max_pixels,
            image_tokens=setup.image_tokens,
            peak_gib=setup.peak_gib or 0.0,
            headroom_gib=setup.headroom_gib or 0.0,
            samples_per_s=rate,
            hours_an_epoch=self._epoch_rows / rate / 3600 if rate else None,
            shrunk_share=self._case.shrunk_share(proof.tokens),
            peak="measured",
            speed="measured",
        )

    def _nothing_fits(self, found: Sequence[Forecast]) -> str:
        least = min(found, key=lambda one: one.peak_bytes)
        needed, limit = least.peak_bytes / GIB, self._ground.limit_bytes / GIB
        profile = self._job.profile
        card = needed / profile.limit_bytes() * profile.capacity_bytes()
        return (
            f"a pixel budget of {self._case.pixels(least.tokens):,} does not fit in {limit:.2f} "
            f"GiB: at least {needed:.2f} GiB are needed ({needed - limit:.2f} more), which a card "
            f"of {card:.1f} GiB has; choose a smaller train.micro_batch_tokens, lora.rank or model"
        )


def _candidate(setup: Setup) -> Candidate:
    layers = setup.checkpointing
    return Candidate(
        setup.weights, setup.rank, setup.targets, int(layers) if layers.isdecimal() else layers
    )
