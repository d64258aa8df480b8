"""A run with a certificate and checkpoints of a stirred adapter, in no time for training."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
from checkpoints import state_at
from learners import MAX_PIXELS, Signs, setup_of
from plan_reports import setup as planned

from core.evaluate.generate import SignReader
from core.evaluate.text import Score, Scores
from core.events import Prediction
from core.planning import PlanReport
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import Best
from core.train.learner import Learner
from core.tune.certificate import Certificate, write_certificate

PROMPTS = 3
STEPS = (2, 4, 6)
BEST = 4


@dataclass(frozen=True)
class TrainedRun:
    """The run, and what its adapter (the same in every checkpoint) and its base read."""

    run: RunDir
    adapted: dict[int, str | None]
    base: dict[int, str | None]

    def adapter(self, step: int) -> Path:
        return checkpoint.path_of(self.run.checkpoints, step) / checkpoint.ADAPTER_FOLDER


def make_trained_run(signs: Signs, dtype: str = "fp32") -> TrainedRun:
    """Checkpoints of STEPS, of which BEST read the fixed subset best."""
    job = signs.job(dtype=dtype)
    with signs.learner(job) as (learner, device):
        for step in STEPS:
            _save(job.run, learner, step)
        reader = SignReader(
            learner.parts.base,
            job.processing,
            device,
            max_pixels=MAX_PIXELS,
            max_new_tokens=job.config.validation.max_new_tokens,
        )
        rows = range(len(job.validation_rows))
        adapted = reader.read_rows(job.validation_rows, rows)
        with learner.parts.model.disable_adapter():
            base = reader.read_rows(job.validation_rows, rows)
    setup = msgspec.structs.replace(setup_of(job, None), prompts=PROMPTS, weights=dtype)
    report = PlanReport(
        model="tiny",
        profile="cpu",
        capacity_gib=1.0,
        limit_gib=1.0,
        choice=planned(),
        setups=(),
        probes=1,
        why=(),
    )
    write_certificate(
        job.run.certificate_file,
        Certificate(
            key="key", setup=setup, probes=1, peak_bytes=1, limit_bytes=2, why=(), report=report
        ),
    )
    return TrainedRun(job.run, _replies(adapted), _replies(base))


def _save(run: RunDir, learner: Learner, step: int) -> None:
    none = Score.of(0, 1)
    scores = Scores(n=1, exact=none, normalized=none, similarity80=none)
    best = Best(step=min(step, BEST), scores=scores)
    state = msgspec.structs.replace(state_at(step), best=best)

    def write(folder: Path) -> None:
        learner.write(folder)
        (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state))

    checkpoint.save(run.checkpoints, step, write)


def _replies(predictions: list[Prediction]) -> dict[int, str | None]:
    return {prediction.row: prediction.reply for prediction in predictions}
