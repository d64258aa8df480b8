"""The list of runs with a pilot: what it shows, and what each of its keys does."""

import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from asked import asked_of
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, ended_story, training_story, worker_of

from core.run_dir import RunDir, list_runs
from kocr_tui.app import ConsoleApp
from kocr_tui.screens.ask_text import AskTextScreen
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.widgets.runs_table import RunsTable

SIZES = [(80, 24), (120, 40)]
both_sizes = pytest.mark.parametrize("size", SIZES)


def app_of(runs: Path, language: str = "en") -> ConsoleApp:
    return ConsoleApp(runs, None, language, clock=lambda: EPOCH + 1000)


@pytest.fixture
def three(runs: Path) -> list[Story]:
    """Finished runs, newest first."""
    return [
        ended_story(runs, "나비", 50, 1),
        ended_story(runs, "gabang", 90, 2),
        ended_story(runs, "shop", 70, 3),
    ]


def home_of(pilot: Pilot[str]) -> HomeScreen:
    screen = pilot.app.screen
    assert isinstance(screen, HomeScreen)
    return screen


def told(pilot: Pilot[str], text: str) -> bool:
    """Whether a notice has the text, however its lines are broken."""
    return any(text in notice.message for notice in pilot.app._notifications)


def in_this_order(pilot: Pilot[str], *texts: str) -> Callable[[], bool]:
    """A condition: the texts are on the screen one after another."""

    def ordered() -> bool:
        shown, places = screen_text(pilot.app), []
        for text in texts:
            if text not in shown:
                return False
            places.append(shown.index(text))
        return places == sorted(places)

    return ordered


@both_sizes
async def test_a_row_tells_start_speed_and_accuracy(
    runs: Path, three: list[Story], size: tuple[int, int]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "3 runs · 0 live", "started ▼", "normalised %"))
        await until(pilot, shows(pilot, "✓ done", "나비", "11-23 16:00", "12.3", "90.0 [83–94]"))
        assert ("Qwen2-VL" in screen_text(app)) == (size[0] >= 96)
        assert ("signs/train" in screen_text(app)) == (size[0] >= 115)


async def test_the_widest_table_has_every_column(runs: Path, three: list[Story]) -> None:
    app = app_of(runs)
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        await until(pilot, shows(pilot, "2025-11-23 16:00:00", "Qwen2-VL-2B-Instruct", "rtx4090"))
        await until(pilot, shows(pilot, "measured", "final", "news"))


async def test_long_names_are_cut_in_the_middle(runs: Path) -> None:
    for number in (1, 2):
        training_story(runs, f"signs-2b-r16-lr1e-4-{number}")
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "signs-…e-4-1", "signs-…e-4-2"))
        await pilot.resize_terminal(90, 24)
        await until(pilot, shows(pilot, "signs-2b-r16-lr1e-4-1", "signs-2b-r16-lr1e-4-2"))


@pytest.mark.action("filter")
@both_sizes
async def test_a_filter_is_typed_kept_and_cleared(
    runs: Path, three: list[Story], size: tuple[int, int]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("slash", *"DONE sho")
        await until(pilot, shows(pilot, "1 of 3 runs match ‘DONE sho’", "shop"))
        assert "gabang" not in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, RunsTable))
        assert "1 of 3 runs match" in screen_text(app)
        await pilot.press("slash", "escape")
        await until(pilot, shows(pilot, "나비", "gabang"))
        assert "match" not in screen_text(app)
        assert isinstance(app.focused, RunsTable)


async def test_a_filter_finds_hangul_typed_in_another_form_and_can_find_nothing(
    runs: Path, three: list[Story]
) -> None:
    app = app_of(runs, "ko")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("slash")
        words = app.screen.query_one("#filter-words", Input)
        words.value = unicodedata.normalize("NFD", "완료 나비")
        await until(pilot, shows(pilot, "학습 3개 중 1개가 ‘완료 나비’에 맞음"))
        words.value = "[red]없음"
        await until(pilot, shows(pilot, "학습 3개 중 0개가 ‘[red]없음’에 맞음"))
        assert home_of(pilot).chosen_run() is None
        await pilot.press("enter", "x", "m", "v", "space", "enter")
        await pilot.press("escape")
        await until(pilot, shows(pilot, "gabang", "나비"))


@pytest.mark.action("sort")
@both_sizes
async def test_sorting_goes_through_the_orders_and_keeps_the_cursor_on_its_run(
    runs: Path, three: list[Story], size: tuple[int, int]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, in_this_order(pilot, "started ▼", "나비", "gabang", "shop"))
        for head, first, second, third in (
            ("run ▼", "gabang", "shop", "나비"),
            ("state ▼", "나비", "gabang", "shop"),
            ("normalised % ▼", "gabang", "shop", "나비"),
            ("img/s▼", "나비", "gabang", "shop"),
            ("started ▼", "나비", "gabang", "shop"),
        ):
            await pilot.press("o")
            await until(pilot, in_this_order(pilot, head, first, second, third))
            chosen = home_of(pilot).chosen_row()
            assert chosen is not None
            assert chosen.name == "나비"


async def test_sorting_a_long_list_does_not_scroll_away(runs: Path) -> None:
    for number in range(40):
        Story(runs, f"run-{number:02}", at=EPOCH + number).start()
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "40 runs", "run-39"))
        await pilot.press("end")
        await until(pilot, shows(pilot, "run-00"))
        table = app.screen.query_one(RunsTable)
        below = table.scroll_offset.y
        assert below > 0
        Story(runs, "newest", at=EPOCH + 86400).start()
        await until(pilot, shows(pilot, "41 runs", "run-00"))
        assert table.scroll_offset.y >= below


@pytest.mark.action("rename")
@both_sizes
async def test_a_run_gets_another_name_and_keeps_its_folder(
    runs: Path, three: list[Story], size: tuple[int, int]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, AskTextScreen))
        field = app.screen.query_one(Input)
        assert field.value == "나비"
        field.value = "two words"
        await until(pilot, shows(pilot, "✗ letters, digits"))
        await pilot.press("enter")
        assert isinstance(app.screen, AskTextScreen)
        field.value = "-name"
        await until(pilot, shows(pilot, "✗ begins with a letter"))
        field.value = ""
        await until(pilot, shows(pilot, "✗ needs a name"))
        field.value = "둘째"
        await pilot.press("enter")
        await until(pilot, shows(pilot, "둘째", "It is called 둘째 now", "3 runs"))
    run = three[0].run
    assert run.config().name == "둘째"
    assert run.path.name.endswith("나비")


async def test_a_name_left_alone_and_one_that_cannot_be_written(
    runs: Path, three: list[Story]
) -> None:
    run = three[0].run
    before = run.config_file.read_text()
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("m", "1", "escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert run.config_file.read_text() == before
        await pilot.press("m", "1")
        run.config_file.write_text("[[[")
        await pilot.press("enter")
        await until(pilot, lambda: told(pilot, "config.toml: not valid TOML"))


@pytest.mark.action("delete")
@both_sizes
async def test_deleting_asks_names_what_goes_and_deletes(
    runs: Path, three: list[Story], size: tuple[int, int]
) -> None:
    run = three[0].run
    for step in (10, 20):
        folder = run.checkpoints / f"step-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"x" * 2**20)
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, shows(pilot, "Delete 나비", run.id, "2 MiB", "checkpoints: 2"))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert run.path.is_dir()
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, shows(pilot, "2 runs", "is deleted"))
        chosen = home_of(pilot).chosen_row()
        assert chosen is not None
        assert chosen.name == "gabang"
    assert run.id not in {one.name for one in runs.iterdir()}
    assert len(list_runs(runs)) == 2


async def test_a_live_run_is_never_deleted(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press("x")
            await until(pilot, shows(pilot, "signs is live (training)", "Stop it first"))
            assert isinstance(app.screen, HomeScreen)
    assert story.run.path.is_dir()


async def test_a_run_that_begins_while_it_is_asked_about_is_not_deleted(
    runs: Path, three: list[Story]
) -> None:
    run = three[0].run
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        with worker_of(run) as pid:
            await pilot.press("y")
            await until(pilot, shows(pilot, f"busy: process {pid}"))
    assert run.path.is_dir()


@pytest.mark.action("mark")
async def test_marks_stay_when_the_list_changes(runs: Path, three: list[Story]) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.press("space")
        await until(pilot, shows(pilot, "● 나비", "1 marked"))
        await pilot.press("space")
        await until(pilot, shows(pilot, "● gabang", "2 marked"))
        Story(runs, "newer", at=EPOCH + 86400).start()
        await until(pilot, shows(pilot, "newer", "● 나비", "● gabang"))
        await pilot.press("o", "home", "space")
        await until(pilot, lambda: "● gabang" not in screen_text(app))
        shutil.rmtree(three[0].run.path)
        await until(pilot, lambda: "marked" not in screen_text(app))


class Compared(Screen[str]):
    """Stands where runs are compared."""

    def __init__(self, runs: list[RunDir], clock: Callable[[], float]) -> None:
        super().__init__()
        self.names = [run.config().name for run in runs]
        self.now = clock()


@pytest.fixture
def _compared(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(CompareScreen=Compared)
    monkeypatch.setitem(sys.modules, "kocr_tui.screens.compare", stand_in)


@pytest.mark.action("compare")
@pytest.mark.usefixtures("_compared")
@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ((), ["나비", "gabang"]),
        (("down", "down"), ["shop", "gabang"]),
        (("space", "down"), ["나비", "shop"]),
        (("down", "space", "space"), ["gabang", "shop"]),
        (("space", "space", "space"), ["나비", "gabang", "shop"]),
    ],
)
async def test_compare_takes_the_marked_runs_or_the_cursor_and_the_next(
    runs: Path, three: list[Story], keys: tuple[str, ...], names: list[str]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비", "shop"))
        await pilot.press(*keys, "v")
        await until(pilot, lambda: isinstance(app.screen, Compared))
        assert isinstance(app.screen, Compared)
        assert (app.screen.names, app.screen.now) == (names, EPOCH + 1000)


@pytest.mark.usefixtures("_compared")
async def test_one_run_cannot_be_compared(runs: Path) -> None:
    training_story(runs)
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "1 runs"))
        await pilot.press("v")
        await until(pilot, shows(pilot, "no second run"))
        assert isinstance(app.screen, HomeScreen)


async def test_stop_is_asked_of_the_run_under_the_cursor(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press("s")
            await until(pilot, shows(pilot, "Stop 20"))
            await pilot.press("y")
            await until(pilot, lambda: asked_of(story.run) != [])


async def test_the_first_start_leads_to_demo_new_run_and_doctor(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "d   a demo", "n   a new run", "`kocr-tui doctor`"))
        await pilot.press("slash", "o", "m", "x", "space", "v")
        assert isinstance(app.screen, HomeScreen)


async def test_nothing_is_drawn_while_nothing_changes(runs: Path, three: list[Story]) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "나비"))
        await pilot.pause()
        drawn: list[str] = []
        for widget in app.screen.query("*"):
            name = type(widget).__name__
            widget.refresh = lambda *_a, _name=name, **_b: drawn.append(_name)  # type: ignore[method-assign, assignment]
        home_of(pilot)._show()
        assert drawn == []
