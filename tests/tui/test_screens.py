"""The console with a pilot: what it shows of runs, and what its keys do."""

import shutil
from pathlib import Path

import pytest
from asked import asked_of
from textual.widgets import Input
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, training_story, worker_of

from core.config import read_config
from core.errors import KocrError, UsageError
from core.events import RequestSeen
from core.run_dir import RunDir, list_runs
from kocr_tui.app import ConsoleApp, run_console
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.new_run import NewRunScreen
from kocr_tui.screens.run import RunScreen


def app_of(runs: Path, run_id: str | None = None, language: str = "en") -> ConsoleApp:
    return ConsoleApp(runs, run_id, language, clock=lambda: EPOCH + 1000)


async def test_no_runs_invite_to_demo_and_new_run(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "No runs in", "d   a demo", "n   a new run"))


async def test_home_follows_a_run_and_opens_it(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs)
        async with app.run_test(size=(100, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training", "120/400", "1 live"))
            story.step(121)
            await until(pilot, shows(pilot, "121/400"))
            await pilot.press("enter")
            await until(pilot, shows(pilot, "step 121/400", "1 Memory · VRAM"))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_the_cursor_stays_on_its_run_when_a_newer_one_comes(runs: Path) -> None:
    training_story(runs, "older")
    app = app_of(runs)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "older"))
        Story(runs, "newer", at=EPOCH + 86400).start()
        await until(pilot, shows(pilot, "newer"))
        home = app.screen
        assert isinstance(home, HomeScreen)
        chosen = home.chosen_run()
        assert chosen is not None
        assert chosen.id.endswith("older")


async def test_tuning_moves_on_to_training_by_itself_once(runs: Path) -> None:
    story = Story(runs)
    story.start()
    story.tune(finish=False)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "✗ does not fit", "✓ fits", "▶ running"))
            await until(pilot, shows(pilot, "Largest that fits: 3.21 MP"))
            story.train(20)
            await until(pilot, shows(pilot, "step 20/400", "3 Loss"))
            await pilot.press("t")
            await until(pilot, shows(pilot, "Tuning: which pixel budget"))
            story.step(21)
            await until(pilot, shows(pilot, "step 21/400"))
            assert "Tuning: which pixel budget" in screen_text(app)


async def test_the_compact_training_screen_shows_everything_without_scrolling(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "of 21.80 GiB", "12.3 samples/s", "ETA 6m 04s"))
            await until(pilot, shows(pilot, "0.524", "normalised 70.0 %", "was 10.0", "★ best"))
            await until(pilot, shows(pilot, "✗   0 교보문고", "no reply", "last 200 photos"))


@pytest.mark.action("stop")
@pytest.mark.parametrize("key", ["s", "ㄴ"])
async def test_stop_asks_once_and_shows_asked_until_the_worker_answers(
    runs: Path, key: str
) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            assert asked_of(story.run) == []
            await pilot.press("y")
            await until(pilot, shows(pilot, "stop: asked, waiting"))
            [asked] = asked_of(story.run)
            assert asked.request == "stop"
            story.put(RequestSeen(id=asked.id, request="stop"))
            await until(pilot, lambda: "asked, waiting" not in screen_text(app))


@pytest.mark.action("abort")
async def test_abort_says_what_is_kept_and_no_means_no(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press("a")
            await until(pilot, shows(pilot, "It leaves at once", "step 100 is kept"))
            await pilot.press("n")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            assert asked_of(story.run) == []


@pytest.mark.action("checkpoint")
async def test_a_late_answer_is_said_to_be_late(runs: Path) -> None:
    story = training_story(runs)
    now = [EPOCH]
    with worker_of(story.run):
        app = ConsoleApp(runs, story.run.id, "en", clock=lambda: now[0])
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press("c")
            await until(pilot, shows(pilot, "checkpoint: asked, waiting"))
            now[0] += 11
            await until(pilot, shows(pilot, "checkpoint: asked 11 s ago"))


async def test_a_request_without_a_worker_is_not_written(runs: Path) -> None:
    story = training_story(runs)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ died"))
        await pilot.press("s")
        await until(pilot, shows(pilot, "Nothing is running here"))
        assert asked_of(story.run) == []


@pytest.mark.action("resume")
async def test_a_died_run_shows_its_log_and_resumes(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = training_story(runs)
    story.run.log_file.write_text("Traceback\nRuntimeError: [red]out\x1b[0m of luck\n")
    launched: list[RunDir] = []
    monkeypatch.setattr("core.launch.launch", lambda run: launched.append(run) or 1)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ died", "gone without a last word"))
        await until(pilot, shows(pilot, "RuntimeError: [red]out␛[0m of luck"))
        await pilot.press("r")
        await until(pilot, lambda: bool(launched))
        assert launched[0].id == story.run.id


async def test_a_failed_launch_says_why(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = training_story(runs)

    def refuse(_run: RunDir) -> int:
        raise UsageError("[bold]busy[/bold]: process 7 is training it")

    monkeypatch.setattr("core.launch.launch", refuse)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ died"))
        await pilot.press("r")
        await until(pilot, shows(pilot, "[bold]busy[/bold]: process 7"))


async def test_a_failed_run_shows_its_message(runs: Path) -> None:
    story = training_story(runs)
    story.finish("failed", "the disk is full", 120)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ failed: the disk is full", "r resumes"))


async def test_a_finished_run_shows_final_scores_beside_the_baseline(runs: Path) -> None:
    story = training_story(runs)
    story.validated(400, "final", 130, 200)
    story.finish("done", "the adapter is saved", 400)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✓ Done. trained 400 steps", "final, 200 photos"))
        await until(pilot, shows(pilot, "65.0 % [58–71]  was 10.0"))


async def test_a_folder_that_disappears_is_said_to_be_gone(runs: Path) -> None:
    story = training_story(runs)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ died"))
        shutil.rmtree(story.run.path)
        await until(pilot, shows(pilot, "is gone. esc goes back"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "No runs in"))


async def test_detaching_says_that_the_run_goes_on(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            await pilot.press("q")
        assert asked_of(story.run) == []
    assert app.return_value == story.run.id


async def test_a_terminal_too_small_says_so(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(50, 20), notifications=True) as pilot:
        await until(pilot, shows(pilot, "Needs 60 x 18"))
        await pilot.resize_terminal(80, 24)
        await until(pilot, shows(pilot, "No runs in"))


async def test_help_names_the_keys_of_where_one_is(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("question_mark")
        await until(pilot, shows(pilot, "Help: list of runs", "demo", "no GPU"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


@pytest.mark.action("new_run", "start")
async def test_the_form_gives_reasons_and_starts_a_run(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.launch.launch", lambda _run: 1)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewRunScreen))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "needs a value"))
        assert list_runs(runs) == []
        form = app.screen
        form.query_one("#data-train", Input).value = str(rows)
        form.query_one("#data-validation", Input).value = str(rows)
        form.query_one("#train-micro-batch-tokens", Input).value = "0"
        await until(pilot, shows(pilot, "needs 1 or more"))
        form.query_one("#train-micro-batch-tokens", Input).value = "4096"
        form.query_one("#train-batch", Input).value = "8"
        await until(pilot, lambda: "needs 1 or more" not in screen_text(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
    (run,) = list_runs(runs)
    config = read_config(run.config_file)
    assert (config.train.batch, config.train.micro_batch_tokens) == (8, 4096)
    assert config.data.train == str(rows)
    assert config.tune.max_pixels is None


@pytest.mark.action("demo")
async def test_a_demo_that_cannot_be_made_says_why(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise KocrError("demo: no room left")

    monkeypatch.setattr("core.launch.prepare_demo", fail)
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("d")
        await until(pilot, shows(pilot, "demo: no room left"))


def test_an_unknown_run_is_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="no such run"):
        run_console(runs, "nothing")
