"""The console on a disk that takes no run: it says so in one line, and goes on."""

from pathlib import Path

import pytest
from textual.widgets import Input
from tui_pilot import screen_text, until
from tui_story import EPOCH

from core.config import DataConfig, ModelConfig, RunConfig
from kocr_tui.app import ConsoleApp
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.new_run import NewRunScreen

CONFIG = RunConfig(
    name="demo",
    model=ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct"),
    data=DataConfig(train="train.jsonl", validation="validation.jsonl"),
)


def letters(app: ConsoleApp) -> str:
    """The screen's letters alone: a notice is folded wherever the length of its path has it."""
    return "".join(filter(str.isalpha, screen_text(app)))


@pytest.fixture
def app(runs: Path) -> ConsoleApp:
    """A console on runs in the place of which a file stands."""
    runs.touch()
    return ConsoleApp(runs, None, "en", clock=lambda: EPOCH + 1000)


async def test_a_demo_that_has_no_place_is_told_and_the_list_stays(
    app: ConsoleApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.launch.prepare_demo", lambda: CONFIG)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "No runs in" in screen_text(app))
        await pilot.press("d")
        await until(pilot, lambda: "maketherunfolderFileexists" in letters(app))
        assert isinstance(app.screen, HomeScreen)
        await until(pilot, lambda: not app.screen.query_one("#home-doing").display)


async def test_a_new_run_that_has_no_place_is_told_and_the_form_stays(
    app: ConsoleApp, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "No runs in" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewRunScreen))
        for field in ("#data-validation", "#data-train"):
            app.screen.query_one(field, Input).value = str(rows)
        for _ in range(2):
            await pilot.press("ctrl+s")
            await until(pilot, lambda: "maketherunfolderFileexists" in letters(app))
            app.clear_notifications()
            await until(pilot, lambda: "Fileexists" not in letters(app))
        assert isinstance(app.screen, NewRunScreen)
