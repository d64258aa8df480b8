"""The console must start fast and never load the training stack."""

import subprocess
import sys
from pathlib import Path

from tui_story import training_story

PROGRAM = """
import asyncio, sys
from pathlib import Path
from kocr_tui.app import ConsoleApp

async def main():
    app = ConsoleApp(Path(sys.argv[1]), sys.argv[2], "en")
    async with app.run_test(size=(80, 24)) as pilot:
        while not app.screen.query("#pane-3") or not app.screen.view.state.steps:
            await pilot.pause(0.02)
        await pilot.press("escape", "n", "escape")
        await pilot.pause()

asyncio.run(main())
heavy = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_running_the_console_loads_no_training_stack(runs: Path) -> None:
    story = training_story(runs)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(runs), story.run.id],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]", done.stderr
