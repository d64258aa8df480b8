"""The compare screen with a pilot: what it shows of several runs, and what its keys do."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from compared_runs import story_with, trained, two
from textual.pilot import Pilot
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, worker_of

from kocr_tui import format as fmt
from kocr_tui.app import ConsoleApp
from kocr_tui.screens.compare import CompareScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.widgets.compared_chart import ComparedChart
from kocr_tui.widgets.compared_tables import TablesPane

SIZES = [(80, 24), (120, 40), (200, 50)]


def app_of(runs: Path, language: str = "en") -> ConsoleApp:
    return ConsoleApp(runs, None, language, clock=lambda: EPOCH + 1000)


async def compare(pilot: Pilot[str], *stories: Story) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
    screen = CompareScreen([story.run for story in stories], lambda: EPOCH + 1000)
    await pilot.app.push_screen(screen)


def lacks(pilot: Pilot[str], text: str) -> Callable[[], bool]:
    return lambda: text not in screen_text(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_curves_have_letters_and_tables_say_who_is_better(
    runs: Path, size: tuple[int, int]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await compare(pilot, *two(runs))
        await until(pilot, shows(pilot, "A━ signs ✓ done", "B━ 간판 ✓ done", "x: optimizer steps"))
        await until(pilot, shows(pilot, "▲ 80.0 % [74–85]", "50.0 % [43–57]"))
        await until(pilot, shows(pilot, "normalised: A is better than B", "lora.rank"))
        rows = screen_text(app).splitlines()
        assert any(re.search("[\u2800-\u28ff]A", row) for row in rows), screen_text(app)
        assert max(map(fmt.width, rows)) <= size[0]


@pytest.mark.parametrize("size", SIZES)
async def test_runs_with_one_curve_are_both_seen(runs: Path, size: tuple[int, int]) -> None:
    first, second = (trained(story_with(runs, name, day)) for day, name in enumerate("나너"))
    app = app_of(runs)
    async with app.run_test(size=size, notifications=True) as pilot:
        await compare(pilot, first, second)
        await until(pilot, shows(pilot, "A━ 나 ✓ done", "B=A 너 ✓ done"))
        drawn = {
            style.color
            for strip in app.screen.query_one(ComparedChart).render_lines(
                app.screen.query_one(ComparedChart).region.reset_offset
            )
            for text, style, _control in strip
            if style is not None and re.search("[\u2801-\u28ff]", text)
        }
        assert len(drawn) == 2


async def test_korean(runs: Path) -> None:
    app = app_of(runs, "ko")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compare(pilot, *two(runs))
        await until(pilot, shows(pilot, "A━ signs ✓ 완료", "정규화: A가 B보다 좋습니다", "최종"))


async def test_a_live_run_moves_on(runs: Path) -> None:
    ended, live = two(runs)[0], trained(story_with(runs, "live", 2), right=None, steps=30)
    app = app_of(runs)
    with worker_of(live.run):
        async with app.run_test(size=(200, 50), notifications=True) as pilot:
            await compare(pilot, ended, live)
            await until(pilot, shows(pilot, "B━ live ▶ training", "30/400", "different steps"))
            live.step(31)
            await until(pilot, shows(pilot, "31/400"))


@pytest.mark.action("measure")
async def test_m_goes_through_the_measures(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compare(pilot, *two(runs))
        for title in (
            "Loss",
            "Exact, rolling",
            "Normalised, rolling",
            "Similar≥80, rolling",
            "Loss",
        ):
            await until(pilot, shows(pilot, f"─ {title} ─", "A━ signs"))
            await pilot.press("m")
        await pilot.press("m")
        await until(pilot, shows(pilot, "60 %┤"))


async def test_l_is_for_the_loss(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compare(pilot, *two(runs))
        await until(pilot, shows(pilot, "A━ signs", " 0┤"))
        await pilot.press("l")
        await until(pilot, shows(pilot, "Loss · logarithmic"))
        await until(
            pilot, lambda: screen_text(app).count("┤") >= 2 and " 0┤" not in screen_text(app)
        )
        await pilot.press("m", "l")
        await until(pilot, shows(pilot, "The logarithmic scale is for the loss"))
        await pilot.press("m", "m", "m")
        await until(pilot, shows(pilot, "Loss · logarithmic"))


async def test_the_chart_zooms_and_moves(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compare(pilot, *two(runs))
        await until(pilot, shows(pilot, "A━ signs"))
        await pilot.press("plus")
        await until(pilot, shows(pilot, "shown: 60–120 of 120"))
        await pilot.press("left", "left")
        await until(pilot, shows(pilot, "shown: 30–90 of 120"))
        await pilot.press("right")
        await until(pilot, shows(pilot, "shown: 45–105 of 120"))
        await pilot.press("minus")
        await until(pilot, lacks(pilot, "shown:"))
        await pilot.press("plus", "plus")
        await until(pilot, shows(pilot, "shown: 90–120 of 120"))
        await pilot.press("0")
        await until(pilot, lacks(pilot, "shown:"))


async def test_different_batches_are_compared_over_samples(runs: Path) -> None:
    first = trained(story_with(runs, "signs", 0))
    second = trained(story_with(runs, "large", 1, train={"batch": 32}))
    app = app_of(runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compare(pilot, first, second)
        await until(pilot, shows(pilot, "x: samples (batch sizes differ)", "2,000", "train.batch"))


async def test_down_scrolls_the_tables_and_keys_leave(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compare(pilot, *two(runs))
        await until(pilot, shows(pilot, "A is better than B"))
        assert "Baseline" not in screen_text(app)
        tables = app.screen.query_one(TablesPane)
        await pilot.press("down")
        await until(pilot, lambda: tables.scroll_offset.y == 1)
        await pilot.press("end")
        await until(pilot, shows(pilot, "Baseline", "10.0 % [7–15]"))
        await pilot.press("question_mark")
        await until(pilot, shows(pilot, "Help: comparing runs"))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await compare(pilot, *two(runs))
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert app.return_value is None


@pytest.mark.parametrize(
    ("count", "said"), [(7, "At most 6 runs are compared; 7"), (1, "needs two")]
)
async def test_too_many_or_too_few_are_refused(runs: Path, count: int, said: str) -> None:
    stories = [trained(story_with(runs, f"run{at}", at), steps=1) for at in range(count)]
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compare(pilot, *stories)
        await until(pilot, shows(pilot, said, "esc back"))
        await pilot.press("m", "l", "plus", "escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_a_run_deleted_meanwhile_stays_and_is_marked(runs: Path) -> None:
    first, second = two(runs)
    app = app_of(runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compare(pilot, first, second)
        await until(pilot, shows(pilot, "B━ 간판 ✓ done", "50.0 % [43–57]"))
        shutil.rmtree(second.run.path)
        await until(pilot, shows(pilot, "B━ 간판 ✗ gone", "B: its folder was deleted"))
        assert "50.0 % [43–57]" in screen_text(app)


async def test_a_config_of_a_newer_version_costs_only_the_settings(runs: Path) -> None:
    first, second = two(runs)
    with second.run.config_file.open("a", encoding="utf-8") as file:
        file.write("\n[future]\nkey = '[red]x'\n")
    app = app_of(runs)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compare(pilot, first, second)
        await until(pilot, shows(pilot, "B: its settings can't be read", "future: unknown key"))
        await until(
            pilot, shows(pilot, f"B━ {second.run.id}", "A is better than B", "fewer than two runs")
        )


async def test_foreign_text_is_shown_as_it_is(runs: Path) -> None:
    first, second = two(runs)
    second.start(device="[red]\x1b[31mcard[/red]")
    app = app_of(runs)
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        await compare(pilot, first, second)
        await until(pilot, shows(pilot, "[red]␛[31mcard[/red]", "cuda:0"))


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_six_runs_fit_the_smallest_terminal(runs: Path, language: str) -> None:
    stories = [trained(story_with(runs, f"간판{at}", at), steps=20) for at in range(6)]
    app = app_of(runs, language)
    async with app.run_test(size=(60, 18), notifications=True) as pilot:
        await compare(pilot, *stories)
        marks = ("A━", "B=A", "C=A", "D=A", "E=A", "F=A")
        entries = [f"{mark} 간판{at}" for at, mark in enumerate(marks)]
        await until(pilot, shows(pilot, *entries, "80.0 % [74–85]"))
        assert max(map(fmt.width, screen_text(app).splitlines())) <= 60


async def test_it_is_up_to_date_when_help_is_closed(runs: Path) -> None:
    ended, live = two(runs)[0], trained(story_with(runs, "live", 2), right=None, steps=30)
    app = app_of(runs)
    with worker_of(live.run):
        async with app.run_test(size=(200, 50), notifications=True) as pilot:
            await compare(pilot, ended, live)
            await until(pilot, shows(pilot, "30/400"))
            await pilot.press("question_mark")
            await until(pilot, shows(pilot, "Help: comparing runs"))
            live.step(31)
            await pilot.press("escape")
            await until(pilot, shows(pilot, "31/400"))


async def test_runs_without_scores_say_so(runs: Path) -> None:
    queued = [story_with(runs, name, at) for at, name in enumerate(("a", "b"))]
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compare(pilot, *queued)
        await until(
            pilot, shows(pilot, "No validation scores yet.", "no scores yet in what is shown")
        )
        await until(pilot, shows(pilot, "The settings are the same."))
