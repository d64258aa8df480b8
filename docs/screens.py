"""Pictures of the console for the README, from runs that were recorded in docs/recorded.

``python docs/screens.py`` writes home, tuning, training and compare as SVG beside this file.
``python docs/screens.py --record RUN...`` records run folders anew.
"""

import argparse
import asyncio
import html
import re
import shutil
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from core.run_dir import RunDir, list_runs
from core.run_watch import watch
from kocr_tui import format as fmt
from kocr_tui.app import ConsoleApp

DOCS = Path(__file__).parent
RECORDED = DOCS / "recorded"
HERE = "@RECORDED@"
PHOTOS = 12
SIZE = (120, 40)
KEYS = {
    "home": (),
    "tuning": ("down", "enter", "t"),
    "training": ("down", "enter"),
    "compare": ("v",),
}
_TEXT = re.compile(
    r'(?P<before><text [^>]*?)textLength="(?P<length>[\d.]+)"(?P<after>[^>]*)>(?P<text>[^<]+)<'
)


def record(runs: list[Path]) -> None:
    """Copies what pictures need of runs: config, plan, events, and the newest photos."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    for folder in runs:
        run, to = RunDir(folder), RECORDED / "runs" / folder.name
        to.mkdir(parents=True)
        config = run.config()
        data, model = Path(config.data.train).parent, Path(config.model.path)
        photos = [Path(one.image) for one in watch(run).state.predictions][-PHOTOS:]
        for photo in photos:
            copy = RECORDED / "demo" / photo.relative_to(data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, copy)
        for file in (run.config_file, run.plan_file, run.events_file):
            text = file.read_text(encoding="utf-8").replace(str(data), f"{HERE}/demo")
            text = text.replace(str(model), f"{HERE}/{model.name}")
            (to / file.name).write_text(text, encoding="utf-8")


def unpack(to: Path) -> Path:
    """The recorded runs as folders that the console can open."""
    shutil.copytree(RECORDED, to, dirs_exist_ok=True)
    for file in (to / "runs").rglob("*.*"):
        text = file.read_text(encoding="utf-8").replace(HERE, str(to))
        file.write_text(text, encoding="utf-8")
    return to / "runs"


async def take(runs: Path, name: str, now: float) -> None:
    """Opens the console, presses the picture's keys, and writes the screen."""
    app = ConsoleApp(runs, None, "en", lambda: now)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press(*KEYS[name])
        await settled(pilot)
        picture = widen(app.export_screenshot(title="kocr-tui"))
        (DOCS / f"{name}.svg").write_text(picture, encoding="utf-8")


async def settled(pilot: Pilot[str]) -> None:
    """Lets threads read and panes draw, which takes two seconds at most."""
    await pilot.pause(4.0)


def widen(svg: str) -> str:
    """Gives texts with Hangul the room of two columns a syllable, which the export forgets."""

    def room(match: re.Match[str]) -> str:
        text = html.unescape(match["text"])
        length = float(match["length"]) * fmt.width(text) / max(1, len(text))
        return f'{match["before"]}textLength="{length:.1f}"{match["after"]}>{match["text"]}<'

    return _TEXT.sub(room, svg)


def main() -> None:
    """Records, where runs are given, and takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", nargs="+", type=Path, metavar="RUN")
    options = parser.parse_args()
    if options.record:
        record(options.record)
    with tempfile.TemporaryDirectory() as folder:
        runs = unpack(Path(folder))
        last = max(watch(run).state.updated_at or 0.0 for run in list_runs(runs))
        for name in KEYS:
            asyncio.run(take(runs, name, last + 60))


if __name__ == "__main__":
    main()
