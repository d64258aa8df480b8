"""Runs in the middle of tuning for tests: a plan on disk beside the events of a story."""

from pathlib import Path
from typing import Any

import msgspec
from tui_story import CAPACITY, GIB, Story

from core import events
from core.events import Finished, ProbeFinished, ProbeStarted, Setup
from core.planning import PlannedSetup, PlanReport

LIMIT_GIB = 19.6
BY_KIND = {
    "weights": 4.12,
    "adapter": 0.07,
    "optimizer": 0.14,
    "activations": 14.4,
    "logits": 0.31,
    "kv_cache": 0.0,
}
WEIGHTS = ("bf16", "nf4")
LAYERS = ("all", "2", "4", "none")


def planned(weights: str, layers: str, place: int, **changes: Any) -> PlannedSetup:
    """The setup at a place of the table; the further down, the smaller and faster."""
    pixels = 784 * (15_552 - 1_700 * place)
    values = {
        "weights": weights,
        "rank": 16,
        "targets": "language",
        "checkpointing": layers,
        "micro_batch_tokens": pixels // 784 + 64,
        "max_pixels": pixels,
        "image_tokens": pixels // 784,
        "peak_gib": 19.04,
        "headroom_gib": LIMIT_GIB - 19.04,
        "samples_per_s": 0.072 + 0.03 * place,
        "feasible": True,
        "shrunk_share": 0.25,
        "hours_an_epoch": 138_149 / (0.072 + 0.03 * place) / 3600,
    }
    return PlannedSetup(**(values | changes))


def plan_of(*, measured: bool = False, fits: bool = True) -> PlanReport:
    """Eight setups of which the first is chosen and the last does not fit; none with ``fits`` off.

    ``measured`` tells that probes have proved the choice.
    """
    pairs = [(weights, layers) for layers in LAYERS for weights in WEIGHTS]
    setups = [planned(*pair, place) for place, pair in enumerate(pairs)]
    source = "measured" if measured else "predicted"
    setups[0] = msgspec.structs.replace(setups[0], chosen=True, peak=source, speed=source)
    if measured:
        setups[0] = msgspec.structs.replace(
            setups[0], max_pixels=10_976_000, image_tokens=14_000, micro_batch_tokens=14_064
        )
    setups[-1] = msgspec.structs.replace(
        setups[-1], feasible=False, peak_gib=25.1, headroom_gib=LIMIT_GIB - 25.1,
        samples_per_s=None, hours_an_epoch=None,
    )  # fmt: skip
    if not fits:
        setups = [
            msgspec.structs.replace(
                one,
                chosen=False,
                feasible=False,
                peak_gib=25.1,
                headroom_gib=LIMIT_GIB - 25.1,
                samples_per_s=None,
                hours_an_epoch=None,
            )
            for one in setups
        ]
    return PlanReport(
        model="qwen2-vl-2b",
        profile="rtx4090",
        capacity_gib=CAPACITY / GIB,
        limit_gib=LIMIT_GIB,
        choice=setups[0] if fits else None,
        setups=tuple(setups),
        probes=1 if measured else 0,
        why=("bf16, rank 16, language, checkpointing all has the largest pixel budget.",),
        by_kind=BY_KIND if fits else BY_KIND | {"activations": 20.46},
        rows=138_149,
    )


def setup_at(pixels: int, **changes: Any) -> Setup:
    """What a probe tries at a budget."""
    values = {
        "weights": "bf16",
        "rank": 16,
        "targets": "language",
        "checkpointing": "all",
        "micro_batch_tokens": pixels // 784 + 64,
        "max_pixels": pixels,
        "image_tokens": pixels // 784,
        "predicted_gib": 4.7 + pixels / 784 / 1084,
    }
    return Setup(**(values | changes))


def start(story: Story, *, tune_only: bool = False, device: str = "cuda") -> None:
    """A worker takes the run."""
    story.put(
        events.WorkerStarted(
            pid=4242,
            attempt=1,
            device=device,
            card="NVIDIA GeForce RTX 4090",
            profile="rtx4090",
            capacity_bytes=CAPACITY,
            versions={},
            tune_only=tune_only,
        ),
        events.DataOpened(train_rows=138_149, validation_rows=17_272, set_aside=0),
    )


def plan(story: Story, done: int = 8, total: int = 8) -> None:
    """The worker has planned some setups, and written the plan where that are all."""
    story.state("tuning")
    for number in range(done + 1):
        story.put(events.Planned(done=number, total=total))
    if done == total:
        write_plan(story)


def write_plan(story: Story, report: PlanReport | None = None) -> None:
    """Puts a plan into the run's folder."""
    story.run.plan_file.write_bytes(msgspec.json.encode(report or plan_of()))


TRIALS: tuple[tuple[int, float | None], ...] = (
    (12_192_768, None),
    (6_422_528, 12.9),
    (9_408_000, 17.0),
    (10_976_000, 19.04),
)


def probe(story: Story, finished: int, *, running: bool = False) -> None:
    """The first ``finished`` of four trials, and the next one begun."""
    for number, (pixels, peak) in enumerate(TRIALS[:finished], start=1):
        story.put(ProbeStarted(probe=number, setup=setup_at(pixels)))
        story.put(
            ProbeFinished(
                probe=number,
                setup=setup_at(pixels, peak_gib=peak),
                fits=peak is not None,
                peak_bytes=None if peak is None else int(peak * GIB),
                seconds=31.0,
                reason="out of memory: needs more than 20,070 MiB" if peak is None else "fits",
                verdict="out-of-memory" if peak is None else "fits",
                limit_bytes=int(LIMIT_GIB * GIB),
            ),
            after=31,
        )
    if running:
        story.put(ProbeStarted(probe=finished + 1, setup=setup_at(TRIALS[finished][0])))


def prove(story: Story) -> None:
    """The choice is proved, and the plan says so."""
    why = (
        "bf16, rank 16, language, checkpointing all has the largest pixel budget.",
        "A probe of 10,976,000 pixels (14,000 image tokens) fits and measured 19.04 GiB.",
    )
    choice = setup_at(10_976_000, peak_gib=19.04)
    write_plan(story, plan_of(measured=True))
    story.put(events.Tuned(choice=choice, probes=4, reused=False, why=why))


def probing(runs: Path, finished: int = 2) -> Story:
    """A run in the middle of its probes."""
    story = Story(runs)
    start(story)
    plan(story)
    probe(story, finished, running=True)
    return story


def proved(runs: Path, *, tune_only: bool = True) -> Story:
    """A run that has a choice and waits."""
    story = Story(runs)
    start(story, tune_only=tune_only)
    plan(story)
    probe(story, 4)
    prove(story)
    said = "tuned; `kocr-tui resume signs` trains with it"
    story.put(Finished(state="stopped", exit_code=0, message=said))
    return story
