"""What the autotuner predicts of full-size models against what a card measures.

    python benchmarks/gpu_tune.py --out FOLDER

Random weights in the published architectures: memory is the same. First the peaks of two steps and
of a generation, each setup under the smallest of a 12, a 16 and a 24 GB card's limits that its
prediction fits, held by torch's allocator; one process a base model, one fresh adapter a setup.
Then the budget that the search chooses for Qwen2-VL-2B under each limit, its probes made in one
process, against larger budgets that really run. Within 8 minutes, cheap setups first; where there
is no card it says so and does nothing.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import msgspec
import torch
from gpu_peaks import Measured, Peaks, make_base
from gpu_tune_cases import (
    BASES,
    LIMITS,
    SEARCHED,
    Setup,
    accuracy,
    limit_for,
    predict,
    question,
    search,
    search_figures,
    setups,
)
from machine import machine

from core.errors import first_line
from core.hardware.device import CudaDevice
from core.model.families import family_of
from core.profile import GIB, load_profile
from core.train.self_tests import try_fast_paths
from core.tune.case import Case
from core.tune.forecast import Forecaster, forecast
from core.tune.plan import Kernels
from core.tune.questions import kernels_of
from core.tune.search import Point

ALL_SECONDS, SEARCH_SECONDS, GROUP_SECONDS = 450, 110, 100


def measure_setups(work: Sequence[tuple[Setup, int]], rows: Path) -> None:
    """Measures setups of one base under their limits; each is in the file once it's done."""
    measured = _measured(work[0][0].preset, work[0][0].weights)
    for setup, limit in work:
        _hold(limit)
        case = setup.case(measured.family)
        found = measured.peaks(
            setup.candidate, case, setup.image_tokens, case.row_tokens, setup.prompts
        )
        if isinstance(found, Peaks):
            _append(rows, msgspec.to_builtins(found) | {"fallbacks": measured.fast.fallbacks})
        else:
            _append(rows, {"failed": found.words})


def measure_searches(known: dict[str, list[tuple[int, int]]], rows: Path) -> None:
    """The search under every limit in ``known``, which has the peaks that were traced for it."""
    measured = _measured("Qwen2-VL-2B", SEARCHED.weights)
    for name, points in known.items():
        _hold(LIMITS[name])
        asked = question(LIMITS[name], kernels_here())
        forecaster = Forecaster(asked)

        def trace(tokens: int, forecaster: Forecaster = forecaster) -> int:
            return forecaster.peak(tokens, 1)

        def probe(tokens: int, case: Case = asked.case) -> int | None:
            found = measured.peaks(SEARCHED, case, tokens, 1)
            return found.reserved if isinstance(found, Peaks) else None

        traced = [Point(*point) for point in points]
        trials, beyond = search(trace, probe, traced, forecaster.bounds, LIMITS[name])
        _append(rows, {"limit": name} | search_figures(trials, beyond))


def _measured(preset: str, weights: str) -> Measured:
    total = torch.cuda.mem_get_info()[1]
    device = CudaDevice(total, total)
    # A base is made in bf16 before it's packed, which no limit of the comparison is meant for.
    base = make_base(preset, weights)
    fast = try_fast_paths(device, nf4=weights == "nf4")
    device.free_cache()
    return Measured(base, family_of(base.config.model_type, preset), device, fast)


def _hold(limit: int) -> None:
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))


def _append(rows: Path, row: dict[str, Any]) -> None:
    with rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def kernels_here() -> Kernels:
    """The attention kernels that training takes on this card."""
    return kernels_of(load_profile("auto"), "bf16")


class Run:
    """All of it, inside one time limit: predictions on the processor while the card measures."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._deadline = time.monotonic() + ALL_SECONDS
        kernels = kernels_here()
        self._predicted = {one: pool.submit(predict, one, kernels) for one in setups()}
        self._forecasts = {
            name: pool.submit(forecast, question(limit, kernels)) for name, limit in LIMITS.items()
        }

    def setups(self, preset: str, weights: str) -> list[dict[str, Any]]:
        """The rows of one base."""
        asked = [one for one in setups() if (one.preset, one.weights) == (preset, weights)]
        rows: list[dict[str, Any]] = []
        for one in asked:
            phases = self._done(self._predicted[one])
            rows.append(msgspec.to_builtins(one) | phases)
        limits = [limit_for(row.get("predicted")) for row in rows]
        work = [[msgspec.to_builtins(one), limit] for one, limit in zip(asked, limits, strict=True)]
        found, why = self._child("setups", work, min(GROUP_SECONDS, self._left() - SEARCH_SECONDS))
        found += [{"failed": why}] * (len(rows) - len(found))
        return [
            row | {"limit": limit} | measured
            for row, limit, measured in zip(rows, limits, found, strict=True)
        ]

    def searches(self) -> list[dict[str, Any]]:
        """The search under each limit."""
        known: dict[str, list[tuple[int, int]]] = {}
        for name, future in self._forecasts.items():
            forecasted = future.result(timeout=max(0.0, self._left()))
            known[name] = [(point.tokens, point.peak) for point in forecasted.points]
        found, why = self._child("searches", known, self._left())
        return found + [{"limit": name, "failed": why} for name in list(known)[len(found) :]]

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _done(self, future: "Future[dict[str, int]]") -> dict[str, Any]:
        """The highest predicted phase and all of them, or why there is no prediction."""
        try:
            phases = future.result(timeout=max(0.0, self._left() - SEARCH_SECONDS))
        except Exception as error:
            return {"unpredicted": f"{type(error).__name__}: {first_line(error)}"}
        return {"predicted": max(phases.values()), "phases": phases}

    def _child(
        self, kind: str, work: Any, seconds: float
    ) -> tuple[list[dict[str, Any]], str | None]:
        """What a process of its own measured within a time, and why there isn't more."""
        if seconds < 10:
            return [], "the time for all rows was over"
        with tempfile.TemporaryDirectory() as folder:
            asked, rows = Path(folder) / "work.json", Path(folder) / "rows.jsonl"
            asked.write_text(json.dumps(work), encoding="utf-8")
            rows.touch()
            command = [sys.executable, __file__, "--child", kind, str(asked), str(rows)]
            why: str | None = None
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=seconds, check=False
                )
                if done.returncode:
                    why = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
            except subprocess.TimeoutExpired:
                why = f"took over {seconds:.0f} s"
            lines = rows.read_text(encoding="utf-8").splitlines()
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for row in found:
            if "training" in row:
                row["allocated"] = max(row["training"], row["generation"])
        return found, why


def child(kind: str, asked: Path, rows: Path) -> None:
    """The work of one process."""
    if kind == "setups":
        work = msgspec.json.decode(asked.read_bytes(), type=list[tuple[Setup, int]])
        measure_setups(work, rows)
    else:
        measure_searches(json.loads(asked.read_text(encoding="utf-8")), rows)


def main() -> int:
    """Measures all and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no CUDA card here: nothing is measured")
        return 0
    if options.child:
        kind, asked, rows = options.child
        child(kind, Path(asked), Path(rows))
        return 0
    with ProcessPoolExecutor(
        max_workers=max(1, min(8, (os.cpu_count() or 2) - 2)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    ) as pool:
        run = Run(pool)
        measured = [row for preset, weights in BASES for row in run.setups(preset, weights)]
        searches = run.searches()
        pool.shutdown(wait=False, cancel_futures=True)
    report = {
        "card": torch.cuda.get_device_name(),
        "limits": LIMITS,
        "machine": machine("torch", "transformers", "peft", "accelerate", "bitsandbytes"),
        "accuracy": accuracy(measured),
        "setups": measured,
        "searches": searches,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = report["card"].lower().replace(" ", "-")
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    (options.out / f"gpu_tune_{name}.json").write_text(text, encoding="utf-8")
    print_table(report)
    return 0


def print_table(report: dict[str, Any]) -> None:
    """A line a base, one of all, and one a search; then what failed."""
    rows = report["setups"]
    print(f"{report['card']}: predicted against allocated peaks")
    for preset, weights in BASES:
        ours = [row for row in rows if (row["preset"], row["weights"]) == (preset, weights)]
        print(f"{preset:14} {weights:5}", _in_words(accuracy(ours)))
    print(f"{'all':20}", _in_words(report["accuracy"]), "(targets: 2 % and 5 %)")
    for found in report["searches"]:
        if "failed" in found:
            print(f"search, {found['limit']}: {found['failed']}")
            continue
        sign = "" if found["bounded"] else ">= "
        print(
            f"search, {found['limit']}: {found['chosen']} image tokens by {found['probes']} probes;"
            f" the largest that runs has {sign}{found['largest']}"
        )
    for why in dict.fromkeys(
        str(row[key]) for row in rows for key in ("failed", "unpredicted") if key in row
    ):
        print("not measured:", why)


def _in_words(figures: dict[str, Any]) -> str:
    if not figures["rows"]:
        return "nothing measured"
    return (
        f"{figures['rows']:3} rows  MAPE {figures['mape']:6.2%}  worst {figures['worst']:6.2%}  "
        f"reserved {figures['reserved']:.3f} of allocated  "
        f"NVML {figures['outside'] / GIB:.2f} GiB more than reserved"
    )


if __name__ == "__main__":
    sys.exit(main())
