"""Run folders for the console benchmark: written by the engine's own writer and encoder."""

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core import events
from core.config import DataConfig, ModelConfig, RunConfig
from core.evaluate.text import Score, Scores
from core.events import AnyEvent, Setup, Step
from core.run_dir import RunDir, create_run

GIB = 2**30
LIMIT = int(21.8 * GIB)
SIGNS = ("원마트 (ONE MART)", "마왕족발", "스타벅스 강남대로점", "김밥천국", "교보문고 광화문점")
MISREAD = ("원마트", "마왕 족발", "스타박스 강남대로점", "02-555-1234", "교보문고 광화문")
_HOLD = """
import fcntl, os, select, sys
lock = open(sys.argv[1], "ab")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
told_to_end = False
while not told_to_end:
    open(sys.argv[2], "ab").close()
    os.utime(sys.argv[2])
    told_to_end = bool(select.select([sys.stdin], [], [], 2)[0])
"""


def new_run(folder: Path, name: str) -> RunDir:
    """A run's folder with its config and no events."""
    data = DataConfig(train="/data/signs/train.jsonl", validation="/data/signs/validation.jsonl")
    model = ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct")
    return create_run(folder, RunConfig(name=name, model=model, data=data))


@contextlib.contextmanager
def worker_of(run: RunDir) -> Iterator[None]:
    """A process that holds the run's lock and shows life, as a worker does."""
    arguments = [str(run.lock_file), str(run.heartbeat_file)]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HOLD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def beginning(steps: int, started: float) -> list[AnyEvent]:
    """What a worker tells before its first step."""
    setup = Setup(
        weights="bf16", rank=16, targets="language", checkpointing="all",
        micro_batch_tokens=8192, max_pixels=802_816, image_tokens=1020, predicted_gib=20.9,
    )  # fmt: skip
    told: list[AnyEvent] = [
        events.WorkerStarted(
            pid=1, attempt=1, device="cuda", card="NVIDIA GeForce RTX 4090", profile="rtx4090",
            capacity_bytes=LIMIT, versions={},
        ),
        events.DataOpened(train_rows=138_149, validation_rows=17_272, set_aside=0),
        events.ProbeStarted(probe=1, setup=setup),
        events.ProbeFinished(
            probe=1, setup=setup, fits=True, peak_bytes=int(21.1 * GIB), seconds=41,
            reason="fits: peak 21.10 of 21.80 GiB",
        ),
        events.Tuned(choice=setup, probes=1, reused=False, why=("It is the largest that fits.",)),
        scores(0, "baseline", 70),
        events.TrainingStarted(
            step=0, steps=steps, epochs=1, samples=138_149, trainable_parameters=18_464_768
        ),
        events.StateChanged(state="training"),
    ]  # fmt: skip
    return [stamped(event, number, started) for number, event in enumerate(told, start=1)]


def step(number: int, steps: int) -> Step:
    """A step whose every figure differs from that of the step before."""
    wave = math.sin(number / 9)
    return Step(
        step=number, epoch=number / steps, loss=0.4 + 2.5 * math.exp(-number / 400) + 0.1 * wave,
        learning_rate=1e-4 * (1 - number / (steps + 1)), grad_norm=1.2 + 0.3 * wave,
        samples=16 * number, label_tokens=160, samples_per_s=12.3 + wave,
        eta_s=(steps - number) * 1.3, data_ms=2 + wave, vision_ms=29 + 3 * wave,
        forward_ms=18 + wave, backward_ms=28 - 2 * wave, optimizer_ms=3, validation_ms=4,
        checkpoint_ms=0, tokens=9000, tokens_per_s=7200 + 90 * wave, utilisation=0.4,
        skipped=False, used_bytes=int((15 + wave) * GIB), peak_bytes=int(21.1 * GIB),
        limit_bytes=LIMIT,
    )  # fmt: skip


def scores(number: int, scope: events.Scope, right: int) -> events.Validated:
    """Scores of 200 photos, ``right`` of them read right."""
    part, rolling = Score.of(right, 200), scope == "rolling"
    return events.Validated(
        step=number, scope=scope, window=200 if rolling else None,
        scores=Scores(n=200, exact=Score.of(right // 2, 200), normalized=part, similarity80=part),
        share=0.081 if rolling else None, share_limit=0.1 if rolling else None,
    )  # fmt: skip


def predicted(number: int) -> events.Predicted:
    """Four photos that were read at a step."""
    found = []
    for row in range(number * 4, number * 4 + 4):
        truth, reply = SIGNS[row % 5], (SIGNS if row % 3 else MISREAD)[row % 5]
        right = truth == reply
        found.append(
            events.Prediction(
                row=row + 1, image=f"/data/signs/{row:06}.jpg", truth=truth, reply=reply,
                exact=right, normalized=right, similarity=100 if right else 70,
            )
        )  # fmt: skip
    return events.Predicted(
        step=number, scope="rolling", done=number * 4, total=17_272, predictions=tuple(found)
    )


def stamped(event: AnyEvent, number: int, at: float) -> AnyEvent:
    """The event as the writer would put it into the file."""
    return msgspec.structs.replace(event, seq=number, time=at)


def write_long(run: RunDir, steps: int) -> None:
    """The events of a run of so many steps that has just ended, made at full speed."""
    encoder = msgspec.json.Encoder()
    started = time.time() - steps * 1.3
    with run.events_file.open("wb") as file:
        for event in beginning(steps, started):
            file.write(encoder.encode(event) + b"\n")
        for number in range(1, steps + 1):
            at = started + number * 1.3
            told: list[AnyEvent] = [step(number, steps)]
            if number % 20 == 0:
                told += [predicted(number), scores(number, "rolling", 100 + number % 40)]
            if number % 500 == 0:
                path = f"checkpoints/step-{number}"
                told.append(events.CheckpointSaved(step=number, path=path, seconds=1.0, best=False))
            for event in told:
                file.write(encoder.encode(stamped(event, number, at)) + b"\n")
        done = events.Finished(state="done", exit_code=0, message="trained", step=steps)
        file.write(encoder.encode(stamped(done, steps, time.time())) + b"\n")
