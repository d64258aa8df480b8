"""Whether an hour of training and of coming and going consoles makes anything grow.

``python benchmarks/endurance.py [--minutes 60] [--out FILE]``: a real worker (the demo's base, LoRA
with dropout, one loader process, a checkpoint every half minute) trains all the time, while the
real `kocr-tui attach` stays for a minute in a pty, leaves by its own key, and comes again. Every
15 seconds memory (MiB, resident and its own alone), open files and threads are read of the worker,
of its loader process, and of the console at its age in this visit.

Growth is the Theil-Sen slope of what was read after the first five minutes. Expected before it was
written: less than 5 MiB an hour for the worker and for its loader; files and threads as many at the
end as at the beginning; the last console at most 15 MiB above the first one at the same age, since
it has an hour of steps to replay, of which it keeps 4,096.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
from console import Terminal, kocr
from machine import machine
from small_run import small_config

from core.config import RunConfig
from core.demo.signboards import write_dataset
from core.launch import launch
from core.run_dir import RunDir, create_run
from core.run_watch import RunWatch
from core.train.checkpoints import checkpoint

replace = msgspec.structs.replace
EVERY_SECONDS = 15
SAMPLES_A_VISIT = 4
WARM_UP_SECONDS = 300
MIB = 2**20
FIGURES = ("resident_mib", "own_mib", "files", "threads")
Sample = dict[str, float]


def endless_config(home: Path) -> RunConfig:
    """The small run with larger steps, which no hour ends."""
    small = small_config(home)
    train = replace(
        small.train,
        epochs=10_000,
        batch=8,
        micro_batch_tokens=400,
        checkpointing="auto",
        checkpoint_minutes=0.5,
    )
    validation = replace(
        small.validation, share=0.1, selection_rows=8, report_rows=8, max_new_tokens=16
    )
    return replace(small, name="endurance", train=train, validation=validation)


def figures(process: psutil.Process) -> Sample:
    """Memory, open files and threads of one process."""
    memory = process.memory_full_info()
    return {
        "resident_mib": memory.rss / MIB,
        "own_mib": memory.uss / MIB,
        "files": process.num_fds(),
        "threads": process.num_threads(),
    }


def wait_for_training(watch: RunWatch) -> None:
    """Returns once the first step was done; raises RuntimeError if the worker leaves before."""
    tick = threading.Event()
    while watch.state.step < 1:
        if watch.worker_pid() is None:
            raise RuntimeError(f"no worker: {watch.run.log_file.read_text()[-2000:]}")
        tick.wait(0.2)
        watch.catch_up()


def leave(console: Terminal) -> int:
    """Presses the key that leaves, and returns the console's exit status once it has."""
    console.press("q")
    # A pty whose other end is closed can't be read.
    with contextlib.suppress(OSError):
        console.read(60)
    _pid, status = os.waitpid(console.pid, 0)
    console.let_go()
    return os.waitstatus_to_exitcode(status)


class Endurance:
    """The readings of a run that goes on; ``samples`` by whom they are of, ``age`` in seconds."""

    def __init__(self, run: RunDir, worker: int, home: Path) -> None:
        self._run = run
        self._worker = psutil.Process(worker)
        self._home = home
        self._begun = time.monotonic()
        self.samples: dict[str, list[Sample]] = {"worker": [], "loader": [], "console": []}
        self.exit_codes: list[int] = []

    def age(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self._begun

    def visit(self) -> None:
        """One console that comes, stays and leaves."""
        console = Terminal(kocr("attach", self._run.id), (120, 40), self._home)
        process = psutil.Process(console.pid)
        for number in range(1, SAMPLES_A_VISIT + 1):
            console.read(max(0.0, console.started + number * EVERY_SECONDS - time.monotonic()))
            if not console.text:
                raise RuntimeError("the console draws nothing")
            self._read(process, number * EVERY_SECONDS)
        self.exit_codes.append(leave(console))

    def _read(self, console: psutil.Process, stayed: int) -> None:
        at = {"age": self.age(), "visit": len(self.exit_codes) + 1}
        self.samples["worker"].append(at | figures(self._worker))
        for child in self._worker.children():
            # multiprocessing keeps a tracker of its own beside the loader.
            if "core.train.worker" in child.cmdline():
                self.samples["loader"].append(at | figures(child))
        self.samples["console"].append(at | {"stayed": stayed} | figures(console))


def slope(samples: Sequence[Sample], figure: str) -> float | None:
    """Theil-Sen: the median of the slopes between all pairs after the warm-up, an hour."""
    points = [
        (sample["age"], sample[figure]) for sample in samples if sample["age"] >= WARM_UP_SECONDS
    ]
    slopes = [
        (y2 - y1) / (x2 - x1)
        for (x1, y1), (x2, y2) in itertools.combinations(points, 2)
        if x2 - x1 >= EVERY_SECONDS
    ]
    return statistics.median(slopes) * 3600 if slopes else None


def quarters(samples: Sequence[Sample], figure: str) -> tuple[float, float]:
    """The medians of the first and the last quarter."""
    size = max(1, len(samples) // 4)
    first, last = samples[:size], samples[-size:]
    return (
        statistics.median(sample[figure] for sample in first),
        statistics.median(sample[figure] for sample in last),
    )


def judged(samples: dict[str, list[Sample]]) -> dict[str, Any]:
    """Growth of every figure; the console's is that of its oldest age in each visit."""
    found: dict[str, Any] = {}
    for who, taken in samples.items():
        oldest = SAMPLES_A_VISIT * EVERY_SECONDS
        alike = [sample for sample in taken if sample.get("stayed", oldest) == oldest]
        if not alike:
            continue
        for figure in FIGURES:
            first, last = quarters(alike, figure)
            found[f"{who}_{figure}"] = {
                "first": alike[0][figure],
                "first_quarter": first,
                "last_quarter": last,
                "last": alike[-1][figure],
                "an_hour": slope(alike, figure),
            }
    return found


def table(found: dict[str, Any]) -> Iterator[str]:
    """Lines for people."""
    yield f"{'':24}{'first':>9}{'1st 1/4':>9}{'last 1/4':>9}{'last':>9}{'an hour':>9}"
    for name, row in found.items():
        cells = "".join("        –" if cell is None else f"{cell:9.2f}" for cell in row.values())
        yield f"{name:24}{cells}"


def end(watch: RunWatch) -> dict[str, Any]:
    """Stops the run; returns how far it came and whether its checkpoint verifies."""
    watch.run.request("stop")
    tick = threading.Event()
    while watch.worker_pid() is not None:
        tick.wait(0.2)
    watch.catch_up()
    path, passed_over = checkpoint.newest(watch.run.checkpoints)
    return {
        "steps": watch.state.step,
        "state": watch.state.state,
        "events_mib": watch.run.events_file.stat().st_size / MIB,
        "checkpoint": path.name if path is not None else None,
        "passed_over": passed_over,
        "unreadable_events": watch.problems,
    }


def endure(home: Path, minutes: float, out: Path | None) -> dict[str, Any]:
    """The whole of it in a home of its own; ``out`` has what is known after every visit."""
    write_dataset(home / "signs", train=320, validation=48, seed=5)
    os.environ["KOCR_HOME"] = str(home)
    run = create_run(home / "runs", endless_config(home))
    worker = launch(run)
    watch = RunWatch(run)
    wait_for_training(watch)
    endurance = Endurance(run, worker, home)
    result: dict[str, Any] = {}
    while endurance.age() < minutes * 60:
        endurance.visit()
        watch.catch_up()
        told = endurance.samples["worker"][-1]
        print(f"{told['age']:6.0f} s  step {watch.state.step}  {told['resident_mib']:.1f} MiB")
        result = found_by(endurance)
        write(out, result)
    result["end"] = end(watch)
    write(out, result)
    return result


def found_by(endurance: Endurance) -> dict[str, Any]:
    """All that is known so far."""
    return {
        "machine": machine("torch", "transformers", "peft", "textual", "psutil"),
        "minutes": endurance.age() / 60,
        "visits": len(endurance.exit_codes),
        "console_exit_codes": sorted(set(endurance.exit_codes)),
        "growth": judged(endurance.samples),
        "samples": endurance.samples,
    }


def write(out: Path | None, result: dict[str, Any]) -> None:
    """Writes the result where it's wanted."""
    if out is not None:
        out.write_text(json.dumps(result) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        result = endure(Path(folder), options.minutes, options.out)
    for line in table(result["growth"]):
        print(line)
    print(json.dumps({name: result[name] for name in ("minutes", "visits", "end")}))


if __name__ == "__main__":
    main()
