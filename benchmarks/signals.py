"""SIGTERM, SIGINT, SIGHUP, and what systemd sends at logout, into every phase of a real worker.

It trains the demo's base on the CPU.

``python benchmarks/signals.py`` writes benchmarks/results/signals.json and signals.md, and fails
if a worker took over 30 s to leave or left in another way than stopped.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from machine import machine
from small_run import small_config

from core.demo.signboards import write_dataset
from core.run_dir import create_run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# The cases are the tests' own.
sys.path[:0] = [str(ROOT / "tests" / "e2e")]


def main() -> int:
    """All signals in all phases; the exit code is 1 if any went wrong."""
    from signal_cases import DEADLINE_SECONDS, PHASES, REQUESTS, hit, table

    with tempfile.TemporaryDirectory(prefix="kocr-signals-") as folder:
        box = _tuned_box(Path(folder))
        outcomes = []
        for phase in PHASES:
            for numbers in REQUESTS:
                outcomes.append(hit(box, phase, numbers))
                print(outcomes[-1], flush=True)
    report = {"machine": machine(), "outcomes": [asdict(one) for one in outcomes]}
    (RESULTS / "signals.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    (RESULTS / "signals.md").write_text(table(outcomes) + "\n", encoding="utf-8")
    bad = [
        one
        for one in outcomes
        if (one.state, one.exit_code) != ("stopped", 3) or one.seconds > DEADLINE_SECONDS
    ]
    return 1 if bad else 0


def _tuned_box(folder: Path) -> Any:
    from e2e_box import Box

    os.environ["KOCR_HOME"] = str(folder)
    write_dataset(folder / "signs", train=48, validation=24, seed=5)
    box = Box(folder, small_config(folder))
    run = create_run(box.runs, box.config)
    done = box.kocr("resume", run.id, "--headless")
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    shutil.copy(run.certificate_file, folder / box.certificate)
    return box


if __name__ == "__main__":
    sys.exit(main())
