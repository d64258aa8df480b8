"""How the screens look; `pytest --snapshot-update` accepts a change after a look at it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import shows, until
from tui_story import EPOCH, Story, training_story, worker_of

from kocr_tui.app import ConsoleApp

SIZES = [(80, 24), (120, 40)]
SnapCompare = Callable[..., bool]
Before = Callable[[Pilot[str]], Awaitable[None]]


class NoCards:
    """NVML on a box without a GPU, so that pictures are the same on every box."""

    def __enter__(self) -> "NoCards":
        return self

    def __exit__(self, *_reason: object) -> None:
        pass

    def cards(self) -> list[Any]:
        return []


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kocr_tui.run_watch.Monitor", NoCards)
    monkeypatch.setattr("kocr_tui.screens.form_news.auto_card", lambda: None)
    monkeypatch.chdir(tmp_path)


def ready(*texts: str, keys: tuple[str, ...] = (), then: tuple[str, ...] = ()) -> Before:
    """Waits for texts, presses keys, waits for other texts, and stops cursors from blinking."""

    async def wait(pilot: Pilot[str]) -> None:
        await until(pilot, shows(pilot, *texts))
        await pilot.press(*keys)
        await until(pilot, shows(pilot, *then))
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    return wait


def app_of(run_id: str | None = None, language: str = "en") -> ConsoleApp:
    return ConsoleApp(Path("runs"), run_id, language, clock=lambda: EPOCH + 1000)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", SIZES)
def test_home(snap_compare: SnapCompare, size: tuple[int, int], language: str) -> None:
    live = training_story(Path("runs"), "live")
    ended = Story(Path("runs"), "ended", at=EPOCH - 86400)
    ended.start()
    ended.tune()
    ended.train(60)
    ended.finish("stopped", "checkpoint saved", 60)
    with worker_of(live.run):
        before = ready("120/400", "60/400", "CPU")
        assert snap_compare(app_of(language=language), terminal_size=size, run_before=before)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_home_without_runs(snap_compare: SnapCompare, language: str) -> None:
    before = ready("runs", "CPU")
    assert snap_compare(app_of(language=language), terminal_size=(80, 24), run_before=before)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", SIZES)
def test_training(snap_compare: SnapCompare, size: tuple[int, int], language: str) -> None:
    story = training_story(Path("runs"))
    with worker_of(story.run):
        app = app_of(story.run.id, language)
        before = ready("120/400", "0.524", "70.0 %", "교보문고")
        assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", SIZES)
def test_tuning(snap_compare: SnapCompare, size: tuple[int, int], language: str) -> None:
    story = Story(Path("runs"))
    story.start()
    story.tune(finish=False)
    with worker_of(story.run):
        app = app_of(story.run.id, language)
        before = ready("3.21 MP", "▶")
        assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("state", ["died", "failed", "done"])
def test_ended(snap_compare: SnapCompare, state: str) -> None:
    story = training_story(Path("runs"))
    story.run.log_file.write_text("Traceback\nRuntimeError: [red]no[/red]\n")
    texts = {"died": "last word", "failed": "the disk is full", "done": "final, 200"}
    if state == "failed":
        story.finish("failed", "the disk is full", 120)
    elif state == "done":
        story.validated(400, "final", 130, 200)
        story.finish("done", "the adapter is saved", 400)
    app = app_of(story.run.id)
    before = ready(texts[state], "교보문고", "70.0 %" if state != "done" else "65.0 %")
    assert snap_compare(app, terminal_size=(120, 40), run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_new_run(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    before = ready("No runs", keys=("n",), then=("tokens at a time", "✓ planned"))
    assert snap_compare(app_of(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_help(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    story = training_story(Path("runs"))
    with worker_of(story.run):
        before = ready("0.524", keys=("question_mark",), then=("Help: training",))
        assert snap_compare(app_of(story.run.id), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_confirm(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    story = training_story(Path("runs"))
    with worker_of(story.run):
        before = ready("0.524", keys=("a",), then=("It leaves at",))
        assert snap_compare(app_of(story.run.id), terminal_size=size, run_before=before)
