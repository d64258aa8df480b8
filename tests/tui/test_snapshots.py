"""What each screen looks like in every state, size and language; look at them before committing.

``pytest tests/tui/test_snapshots.py --snapshot-update`` takes the pictures anew.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snapshot_stories import SCENES, Scene, words
from textual.pilot import Pilot
from textual.widgets import Input, RichLog, Static
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story

from core.run_watch import HeartbeatWatch
from kocr_tui.app import ConsoleApp
from kocr_tui.messages import RunNews
from kocr_tui.reading.data_audit import RowsSummary
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.run import RunScreen
from kocr_tui.settings import Look
from kocr_tui.widgets.card import CardPane
from kocr_tui.widgets.pane import Pane
from kocr_tui.widgets.paragraph import Paragraph
from kocr_tui.widgets.plan_table import PlanTable

SIZES = [(80, 24), (120, 40), (200, 50)]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"theme": "light"},
    "contrast": {"theme": "contrast"},
    "basic": {"theme": "basic"},
    "ascii": {"ascii": True},
    "no-color": {},
}
# Panes pace themselves and threads rest between looks, which nobody has to wait for here.
RESTS = {
    "kocr_tui.widgets.pane.FIGURES_SECONDS": 0.0,
    "kocr_tui.widgets.pane.CHART_SECONDS": 0.0,
    "kocr_tui.reading.run_watch.RUN_SECONDS": 0.1,
    "kocr_tui.reading.folder_watch.FOLDER_SECONDS": 0.1,
    "kocr_tui.reading.folder_watch.CARD_SECONDS": 0.1,
    "kocr_tui.reading.card_watch.CARD_SECONDS": 0.1,
    "kocr_tui.reading.comparison_watch.COMPARE_SECONDS": 0.1,
    "kocr_tui.reading.data_audit.SETTLE_SECONDS": 0.0,
    "kocr_tui.reading.live_plan.SETTLE_SECONDS": 0.0,
}
SnapCompare = Callable[..., bool]
Before = Callable[[Pilot[str]], Awaitable[None]]


class NoDriver:
    """NVML on a box without a GPU."""

    reason = "no NVIDIA driver: libnvidia-ml.so.1 was not found"

    def __enter__(self) -> "NoDriver":
        return self

    def __exit__(self, *_reason: object) -> None:
        pass

    def cards(self) -> list[Any]:
        return []


def surveyed(path: Path, *_asked: object, **_more: object) -> RowsSummary:
    """What a file of rows has, by its name."""
    if path.stem == "broken":
        reason = "the label is empty"
        return RowsSummary(
            kept=138_148, set_aside=1, largest=(4032, 3024), first_line=7, first_reason=reason
        )
    kept = 138_149 if path.stem == "train" else 17_272
    return RowsSummary(kept=kept, set_aside=0, largest=(4032, 3024))


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, seconds in RESTS.items():
        monkeypatch.setattr(name, seconds)
    for place in (
        "kocr_tui.reading.run_watch",
        "kocr_tui.reading.card_watch",
        "core.hardware.nvml",
    ):
        monkeypatch.setattr(f"{place}.Monitor", NoDriver)
    monkeypatch.setattr("kocr_tui.reading.others_on_card.OthersOnCard.read", lambda *_of: None)
    monkeypatch.setattr("kocr_tui.screens.form_news.auto_card", lambda: None)
    monkeypatch.setattr("kocr_tui.reading.data_audit.survey", surveyed)
    monkeypatch.setattr("kocr_tui.screens.run_edits.bytes_on_disk", lambda _run: 3 * 2**30)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a lock file has a worker, which has just shown life where there's a heartbeat."""

    def holder(path: Path) -> int | None:
        return 4242 if path.exists() else None

    def age(heartbeat: HeartbeatWatch) -> float:
        return 1.0 if heartbeat.run.heartbeat_file.exists() else 47.0

    monkeypatch.setattr("core.run_dir.lock", SimpleNamespace(holder=holder))
    monkeypatch.setattr(HeartbeatWatch, "age", age)


def app_of(story: Story | None, late: float, language: str, **look: Any) -> ConsoleApp:
    now = story.now + late if story else EPOCH + 1000
    run_id = story.run.id if story else None
    return ConsoleApp(Path("runs"), run_id, language, lambda: now, Look(**look))


def complete(scene: Scene, story: Story | None) -> Before:
    """Goes to the scene and waits until everything that it shows is there."""

    async def wait(pilot: Pilot[str]) -> None:
        await scene.go(pilot, story.run if story else None)
        await until(pilot, shows(pilot, *map(words, scene.shown)))
        await until(pilot, lambda: cards_read(pilot))
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await settled(pilot)
        await until(pilot, lambda: focus_is_set(pilot))
        await settled(pilot)

    return wait


def cards_read(pilot: Pilot[str]) -> bool:
    """Whether what is said of a card has come, which screens show with their next figures."""
    top = pilot.app.screen
    if isinstance(top, HomeScreen):
        return bool(top.query_one("#home-card", Static).content)
    return all(pane.reading is not None for pane in panes(pilot) if isinstance(pane, CardPane))


def focus_is_set(pilot: Pilot[str]) -> bool:
    """Whether the table of setups has the focus, where it's there and nothing lies above it."""
    tables = [one for one in pilot.app.screen.query(PlanTable) if one.row_count]
    training = any(pane.size.width for pane in pilot.app.screen.query(CardPane))
    return training or all(one.has_focus for one in tables)


async def settled(pilot: Pilot[str]) -> None:
    """Draws until that changes nothing: a scroll bar that comes leaves less room for the rest."""
    looks: list[object] = []
    while len(looks) < 3 or len(set(looks[-3:])) > 1:
        for pane in panes(pilot):
            pane.redraw()
        for log in pilot.app.screen.query(RichLog):
            log.scroll_end(animate=False)
        for text in pilot.app.screen.query(Paragraph):
            text.refresh(layout=True)
        if isinstance(pilot.app.screen, RunScreen):
            # The table of setups takes the focus with the first news after its rows.
            pilot.app.screen.post_message(RunNews())
        await pilot.pause()
        looks.append((screen_text(pilot.app), pilot.app.focused))


def panes(pilot: Pilot[str]) -> list[Pane]:
    """Those of the run that is open, on the top screen or below it."""
    return [pane for screen in pilot.app.screen_stack for pane in screen.query(Pane)]


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCENES)
def test_screen(
    snap_compare: SnapCompare,
    leave_room: Callable[[int], None],
    name: str,
    size: tuple[int, int],
    language: str,
) -> None:
    scene = SCENES[name]
    leave_room(scene.free)
    story = scene.write(Path("runs"))
    app = app_of(story, scene.late, language)
    assert snap_compare(app, terminal_size=size, run_before=complete(scene, story))


@pytest.mark.parametrize("look", LOOKS)
def test_look(snap_compare: SnapCompare, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    if look == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
    scene = SCENES["training"]
    story = scene.write(Path("runs"))
    app = app_of(story, scene.late, "en", **LOOKS[look])
    assert snap_compare(app, terminal_size=(120, 40), run_before=complete(scene, story))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_too_small(snap_compare: SnapCompare, language: str) -> None:
    scene = Scene(lambda _runs: None, ("60", "18"))
    app = app_of(None, 0, language)
    assert snap_compare(app, terminal_size=(50, 12), run_before=complete(scene, None))
