"""Pictures of the console on a recorded run, for the README: ``python -m kocr_tui.screenshots``."""

import argparse
import asyncio
import html
import re
import time
from pathlib import Path

from core.run_dir import RunDir, find_run, runs_folder
from core.run_state import watch
from kocr_tui import format as fmt
from kocr_tui.app import ConsoleApp

WIDTH, HEIGHT = 120, 40
_TEXT = re.compile(
    r'(?P<before><text [^>]*?)textLength="(?P<length>[\d.]+)"(?P<after>[^>]*)>(?P<text>[^<]+)<'
)


async def take(run: RunDir, key: str | None, to: Path, now: float) -> None:
    """Opens the console on a run, presses a key if there is one, and writes the screen as SVG."""
    app = ConsoleApp(run.path.parent, run.id, "en", lambda: now)
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        await pilot.pause(1.5)
        if key is not None:
            await pilot.press(key)
            await pilot.pause(1.0)
        to.write_text(widen(app.export_screenshot(title="kocr-tui")), encoding="utf-8")


def widen(svg: str) -> str:
    """Gives texts with Hangul the room of two columns a syllable, which the export forgets."""

    def room(match: re.Match[str]) -> str:
        text = html.unescape(match["text"])
        length = float(match["length"]) * fmt.width(text) / max(1, len(text))
        return f'{match["before"]}textLength="{length:.1f}"{match["after"]}>{match["text"]}<'

    return _TEXT.sub(room, svg)


def main() -> None:
    """Writes training.svg and tuning.svg of one run into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", default="last")
    options = parser.parse_args()
    run = find_run(runs_folder(), options.run)
    now = watch(run).state.updated_at or time.time()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, key in (("training", None), ("tuning", "t")):
        asyncio.run(take(run, key, options.folder / f"{name}.svg", now))


if __name__ == "__main__":
    main()
