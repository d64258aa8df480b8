"""Run folders for tests: written through the engine's own writer, at fixed times."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Literal
from unittest.mock import patch

from core import events
from core.config import DataConfig, ModelConfig, RunConfig
from core.evaluate.text import RowScore, Score, Scores, score
from core.event_log import EventWriter
from core.events import Setup
from core.run_dir import RunDir, create_run

GIB = 2**30
EPOCH = 1_764_000_000.0
CAPACITY = int(21.8 * GIB)
STEPS = 400

HOLD_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def setup(pixels: int = 4_816_896) -> Setup:
    return Setup(
        weights="bf16",
        rank=16,
        targets="language",
        checkpointing="all",
        micro_batch_tokens=pixels // 784 + 64,
        max_pixels=pixels,
        image_tokens=pixels // 784,
    )


class Story:
    """Writes a run's events one after another at a clock of its own."""

    def __init__(self, runs: Path, name: str = "signs", at: float = EPOCH) -> None:
        self.now = at
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
        with patch("core.run_dir.time", SimpleNamespace(strftime=lambda _format: stamp)):
            config = RunConfig(
                name=name,
                model=ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct"),
                data=DataConfig(
                    train="/data/signs/train.jsonl", validation="/data/signs/val.jsonl"
                ),
            )
            self.run: RunDir = create_run(runs, config)
        self._writer = EventWriter(self.run.events_file)

    def put(self, *found: events.AnyEvent, after: float = 1.0) -> None:
        for event in found:
            self.now += after
            with patch("core.event_log.time", SimpleNamespace(time=lambda: self.now)):
                self._writer.write(event)

    def state(self, state: events.State) -> None:
        self.put(events.StateChanged(state=state))

    def start(self, device: str = "cuda:0", profile: str = "rtx4090") -> None:
        self.put(
            events.WorkerStarted(
                pid=4242,
                attempt=1,
                device="cpu" if profile == "cpu" else "cuda",
                card=device,
                profile=profile,
                capacity_bytes=CAPACITY,
                versions={},
            ),
            events.DataOpened(train_rows=138_149, validation_rows=17_272, set_aside=1),
            events.RowSetAside(file="/data/signs/train.jsonl", row=7, reason="[b]empty[/b] label"),
        )

    def tune(self, *, finish: bool = True) -> None:
        self.state("tuning")
        trials = ((12_192_768, None), (3_211_264, 20.4), (6_422_528, None), (4_816_896, 21.2))
        for number, (pixels, peak) in enumerate(trials, start=1):
            self.put(events.ProbeStarted(probe=number, setup=setup(pixels)))
            if not finish and number == len(trials):
                return
            self.put(
                events.ProbeFinished(
                    probe=number,
                    setup=setup(pixels),
                    fits=peak is not None,
                    peak_bytes=None if peak is None else int(peak * GIB),
                    seconds=31.0,
                    reason="out of memory in the backward pass" if peak is None else "it fits",
                ),
                after=31,
            )
        why = ("It is the largest budget that fits.", "Half of the layers are checkpointed.")
        self.put(events.Tuned(choice=setup(), probes=4, reused=False, why=why))

    def train(self, steps: int = 120) -> None:
        self.state("baseline")
        self.validated(0, "baseline", 20, 200)
        self.put(
            events.TrainingStarted(
                step=0, steps=STEPS, epochs=2, samples=138_149, trainable_parameters=18_464_768
            )
        )
        self.state("training")
        for number in range(1, steps + 1):
            self.step(number)
            if number % 10 == 0:
                self.validated(number, "rolling", min(150, 20 + number), 200)

    def step(self, number: int) -> None:
        self.put(
            events.Step(
                step=number,
                epoch=number * 2 / STEPS,
                loss=0.4 + 2.5 * math.exp(-number / 40),
                learning_rate=1e-4,
                grad_norm=1.25,
                samples=number * 16,
                label_tokens=160,
                samples_per_s=12.3,
                eta_s=(STEPS - number) * 1.3,
                data_ms=2,
                vision_ms=29,
                forward_ms=18,
                backward_ms=28,
                optimizer_ms=3,
                validation_ms=0,
                checkpoint_ms=0,
                tokens=9000,
                tokens_per_s=7200,
                utilisation=None,
                skipped=False,
                used_bytes=int((15 + math.sin(number / 9)) * GIB),
                peak_bytes=int(21.1 * GIB),
                limit_bytes=CAPACITY,
            )
        )

    def predict(self, step: int, *pairs: tuple[str, str | None]) -> list[RowScore]:
        scored = [score(truth, reply) for truth, reply in pairs]
        predictions = tuple(
            events.Prediction(
                row=row,
                image=f"/data/signs/{row:06}.jpg",
                truth=truth,
                reply=reply,
                exact=one.exact,
                normalized=one.normalized,
                similarity=one.similarity,
            )
            for row, ((truth, reply), one) in enumerate(zip(pairs, scored, strict=True), start=1)
        )
        self.put(
            events.Predicted(
                step=step, scope="rolling", done=len(pairs), total=17_272, predictions=predictions
            )
        )
        return scored

    def validated(
        self,
        step: int,
        scope: events.Scope,
        right: int,
        n: int,
        *,
        best: bool = False,
    ) -> None:
        part = Score.of(right, n)
        scores = Scores(n=n, exact=Score.of(right // 2, n), normalized=part, similarity80=part)
        rolling = scope == "rolling"
        self.put(
            events.Validated(
                step=step,
                scope=scope,
                scores=scores,
                window=200 if rolling else None,
                share=0.081 if rolling else None,
                share_limit=0.1 if rolling else None,
                best=best,
            )
        )

    def checkpoint(self, step: int) -> None:
        self.put(
            events.CheckpointSaved(step=step, path=f"checkpoints/step-{step}", seconds=2, best=True)
        )

    def finish(self, state: Literal["done", "stopped", "failed"], message: str, step: int) -> None:
        code = {"done": 0, "stopped": 3, "failed": 1}[state]
        self.put(events.Finished(state=state, exit_code=code, message=message, step=step))


PAIRS: tuple[tuple[str, str | None], ...] = (
    ("원마트 (ONE MART)", "원마트 (ONE MART)"),
    ("마왕족발", "마왕 족발"),
    ("kokoro", "[red]KOKORO[/red]"),
    ("스타벅스 강남대로점", "스타박스 강남대로점"),
    ("김밥천국", "02-555\x1b[31m-1234"),
    ("교보문고", None),
)


def training_story(runs: Path, name: str = "signs") -> Story:
    """A run in the middle of training."""
    story = Story(runs, name)
    story.state("queued")
    story.start()
    story.tune()
    story.train()
    story.validated(100, "selection", 44, 64, best=True)
    story.checkpoint(100)
    story.predict(120, *PAIRS)
    return story


def ended_story(runs: Path, name: str, right: int, days_ago: int) -> Story:
    """A finished run whose final accuracy is ``right`` of 100."""
    story = Story(runs, name, at=EPOCH - days_ago * 86400)
    story.start()
    story.train(days_ago)
    story.step(STEPS)
    story.validated(STEPS, "final", right, 100)
    story.finish("done", "the adapter is saved", STEPS)
    return story


@contextmanager
def worker_of(run: RunDir) -> Iterator[int]:
    """A process that holds the run's lock, as a worker would."""
    command = [sys.executable, "-I", "-S", "-c", HOLD_LOCK, str(run.lock_file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        run.heartbeat_file.touch()
        # A beat from the future never grows old, however slow the test.
        os.utime(run.heartbeat_file, (time.time() + 3600,) * 2)
        try:
            yield process.pid
        finally:
            process.kill()
