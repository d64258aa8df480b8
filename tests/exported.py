"""Runs that were trained for a step on a tiny model, and exports of them without a process."""

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from checkpoints import state_at
from learners import Signs, setup_of
from plan_reports import PROVED

from core.config import Targets
from core.evaluate.text import RowScore, Scores
from core.events import TrainingStarted, Validated, WorkerStarted
from core.export import verify
from core.export.exporter import export
from core.export.plain_reader import PlainAnswer, PlainRequest, answer
from core.exporting import ExportReport, ExportRequest
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import Best
from core.tune.certificate import Certificate, write_certificate

RIGHT = RowScore(exact=True, normalized=True, similarity=100.0, similarity80=True)
WRONG = RowScore(exact=False, normalized=False, similarity=0.0, similarity80=False)
BEFORE, AFTER = Scores.of([WRONG] * 3 + [RIGHT]), Scores.of([RIGHT] * 3 + [WRONG])


def trained(signs: Signs, *, dtype: str = "fp32", targets: Targets = "language") -> RunDir:
    """A run whose best checkpoint is of step 1, and its newest, with another adapter, of step 2."""
    job = signs.job(dtype=dtype, targets=targets)
    setup = msgspec.structs.replace(
        setup_of(job, None), weights=dtype, targets=targets, peak_gib=1.25, headroom_gib=0.5
    )
    certify(job.run, setup)
    versions = {"torch": "2", "transformers": "5"}
    for event in (
        WorkerStarted(
            pid=1, attempt=1, device="cpu", card="CPU", profile="cpu",
            capacity_bytes=1, versions=versions,
        ),
        Validated(step=0, scope="baseline", scores=BEFORE),
        TrainingStarted(step=0, steps=4, epochs=1, samples=24, trainable_parameters=1),
        Validated(step=1, scope="selection", scores=AFTER, best=True),
        Validated(step=1, scope="final", scores=AFTER),
    ):  # fmt: skip
        job.events.write(event)
    with signs.learner(job) as (learner, _device), closing(learner.steps_from(0)) as arriving:
        for step in (1, 2):
            learner.learn(step - 1, next(arriving))
            state = msgspec.structs.replace(state_at(step), best=Best(step=1, scores=AFTER))

            def write(folder: Path, state: Any = state) -> None:
                learner.write(folder)
                (folder / checkpoint.STATE_FILE).write_bytes(msgspec.json.encode(state))

            checkpoint.save(job.run.checkpoints, step, write)
    job.events.close()
    return job.run


def certify(run: RunDir, setup: Any) -> None:
    """Gives a run the certificate of a setup."""
    certificate = Certificate(
        key="k", setup=setup, probes=1, peak_bytes=1, limit_bytes=2, why=(), report=PROVED
    )
    write_certificate(run.certificate_file, certificate)


def exported(run: RunDir, out: Path, **asked: Any) -> ExportReport:
    """The export of a run by the exporter itself."""
    request = ExportRequest(run=str(run.path), out=str(out), **asked)
    return export(request, lambda _done, _total, _words: None)


def read_here(request: PlainRequest, _folder: Path, tell: Any) -> PlainAnswer:
    """What the plain reader's process answers, without one: starting it takes ten seconds."""
    return answer(request, tell)


def without_a_process(monkeypatch: Any) -> None:
    """Two rows are read, and in this process: what is written is the same."""
    monkeypatch.setattr(verify, "ROWS", 2)
    monkeypatch.setattr(verify, "read_elsewhere", read_here)
