"""Pictures of the console on a recorded run, for the README: ``python -m kocr_tui.screenshots``."""

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from core.run_dir import find_run, runs_folder
from core.run_state import watch
from kocr_tui.app import ConsoleApp

WIDTH, HEIGHT = 120, 40


async def take(runs: Path, run_id: str | None, key: str | None, to: Path, now: float) -> None:
    """Opens the console on a run (or home), presses a key, and writes what it shows as SVG."""
    app = ConsoleApp(runs, run_id, "en", _stopped_clock(now))
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        await app.workers.wait_for_complete() if run_id is None else None
        await pilot.pause(1.5)
        if key is not None:
            await pilot.press(key)
            await pilot.pause(1.0)
        to.write_text(app.export_screenshot(title="kocr-tui"), encoding="utf-8")


def _stopped_clock(now: float) -> Callable[[], float]:
    return lambda: now


def main() -> None:
    """Writes home.svg, tuning.svg and training.svg of one run into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", default="last")
    options = parser.parse_args()
    run = find_run(runs_folder(), options.run)
    now = watch(run).state.updated_at or time.time()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, run_id, key in (
        ("training", run.id, None),
        ("tuning", run.id, "t"),
    ):
        asyncio.run(take(run.path.parent, run_id, key, options.folder / f"{name}.svg", now))


if __name__ == "__main__":
    main()
