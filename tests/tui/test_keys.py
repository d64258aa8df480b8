"""Keys: the user's own, the key bar by mouse, help, the palette, copying, and settings."""

import asyncio
import os
from pathlib import Path

import pytest
from asked import asked_of
from textual.pilot import Pilot
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, training_story, worker_of

from core.errors import UsageError
from core.events import State
from kocr_tui import cli
from kocr_tui.actions import (
    ACTIONS,
    Action,
    Place,
    actions_at,
    key_label,
    keys_of,
    use_ascii_labels,
    use_keys,
)
from kocr_tui.app import ConsoleApp
from kocr_tui.look.text_file import save_text
from kocr_tui.screens.help import HelpScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.new_run import NewRunScreen
from kocr_tui.screens.run import RunScreen
from kocr_tui.settings import Look, Settings, look_of, read_settings, settings_file
from kocr_tui.strings import say, use_language
from kocr_tui.widgets.key_bar import KeyBar, action_at, entries


@pytest.fixture(autouse=True)
def _default_keys() -> None:
    use_keys({})
    use_ascii_labels(False)


def action(name: str) -> Action:
    return next(one for one in ACTIONS if one.id == name)


def app_of(runs: Path, run_id: str | None = None, language: str = "en", **keys: str) -> ConsoleApp:
    return ConsoleApp(runs, run_id, language, lambda: EPOCH + 1000, Look(keys=keys))


def write_settings(text: str) -> Path:
    file = settings_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


async def test_the_users_keys_work_and_are_shown_everywhere(runs: Path) -> None:
    app = app_of(runs, new_run="ctrl+n,i", help="h")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "^n new ", "h help"))
        await pilot.press("n", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)
        await pilot.press("h")
        await until(pilot, shows(pilot, "Help: list of runs", "^n"))
        await pilot.press("escape", "ctrl+p")
        await until(pilot, shows(pilot, "new  (^n)"))
        await pilot.press("escape", "i")
        await until(pilot, lambda: isinstance(app.screen, NewRunScreen))


async def test_a_key_that_two_views_of_a_run_share_survives_a_keymap(runs: Path) -> None:
    story = training_story(runs)
    app = app_of(runs, story.run.id, maximize="z", misses="f")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "0.524"))
        await pilot.press("t")
        await until(pilot, lambda: app.screen.place == "tuning")
        enter = app.screen.active_bindings.get("enter")
        assert enter is None or enter.binding.action != "maximize"
        await pilot.press("t")
        await until(pilot, lambda: app.screen.place == "training")
        meant = {key: app.screen.active_bindings[key].binding.action for key in "fz"}
        assert meant == {"f": "misses", "z": "maximize"}
        assert "enter" not in app.screen.active_bindings


async def test_the_palettes_key_can_be_another(runs: Path) -> None:
    app = app_of(runs, palette="ctrl+k")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)
        await pilot.press("ctrl+k")
        await until(pilot, shows(pilot, "Find a command"))


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"fly": "z"}, "fly: no such action; known: abort, back"),
        ({"stop": "a"}, "stop: a is the key of abort already"),
        ({"stop": "3"}, "stop: 3 is the key of pane already"),
        ({"choose": "e"}, "choose: e is the key of evaluate already"),
        ({"help": "?,q"}, "help: q is the key of quit already"),
        ({"stop": ""}, "stop: needs a key"),
        ({"pane": "z"}, "pane: no such action"),
    ],
)
def test_keys_that_cannot_be_are_refused(chosen: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        use_keys(chosen)
    assert keys_of(action("stop")) == ["s"]


def test_keys_may_be_swapped_and_written_as_on_the_keyboard() -> None:
    keymap = use_keys({"stop": "a", "abort": "s", "filter": "?", "help": "/"})
    assert keymap["stop"] == "a,ㅁ"
    assert keys_of(action("filter")) == ["question_mark"]
    assert [key_label(action(name)) for name in ("abort", "filter", "help")] == ["s", "?", "/"]


def test_labels_in_ascii_are_words() -> None:
    use_ascii_labels(True)
    assert key_label(action("open_run")) == "enter"
    assert key_label(action("back")) == "esc"


def test_no_file_is_no_settings() -> None:
    assert read_settings(settings_file()) == Settings()


def test_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    write_settings('theme = "light"\nascii = true\nlanguage = "ko"\n[keys]\nstop = "ctrl+x"\n')
    assert look_of() == Look("light", True, "ko", {"stop": "ctrl+x"})
    assert look_of("dark", False, "en") == Look("dark", True, "en", {"stop": "ctrl+x"})
    write_settings("ascii = false")
    monkeypatch.setenv("LC_ALL", "C")
    assert look_of() == Look("auto", False, None, {})
    assert look_of(in_ascii=True).ascii
    write_settings("")
    assert look_of().ascii


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('theme = "pink"', "theme: "),
        ("ascii = 3", "ascii: "),
        ('colour = "red"', "colour: unknown key"),
        ("[keys]\nstop = 3", "keys"),
        ('[keys]\nfly = "z"', "keys.fly: no such action"),
        ('[keys]\nstop = "a"', "keys.stop: a is the key of abort already"),
        ("theme =", "not valid TOML"),
    ],
)
def test_a_mistake_in_settings_is_one_line_with_file_and_key(
    capsys: pytest.CaptureFixture[str], text: str, key: str
) -> None:
    file = write_settings(text)
    assert cli.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kocr-tui: {file}: ")
    assert key in line


def test_a_mistake_is_told_before_anything_is_started(runs: Path, tmp_path: Path) -> None:
    write_settings('theme = "pink"')
    with pytest.raises(UsageError, match="theme"):
        look_of()
    assert cli.main(["demo", "--runs", str(runs), "--detach"]) == 2
    assert not runs.exists()


@pytest.mark.parametrize("place_and_state", [("home", None), ("training", "training")])
def test_every_column_of_the_key_bar_belongs_to_what_is_drawn_there(
    place_and_state: tuple[Place, State | None],
) -> None:
    use_language("en")
    place, live = place_and_state
    actions = [one for one in actions_at(place) if one.applies(live)]
    shown = entries(actions, live, 118)
    line = "".join(piece.plain for _action, piece in shown)
    for one, _piece in shown:
        title = f"{key_label(one)} {one.title}"
        assert action_at(shown, line.index(title)) is one
        assert action_at(shown, line.index(title) + len(title)) is one
    assert action_at(shown, len(line)) is None


async def test_a_click_on_the_key_bar_does_the_action(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "n new "))
        await click(pilot, "n new ")
        await until(pilot, lambda: isinstance(app.screen, NewRunScreen))
        await click(pilot, "esc back")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await click(pilot, "? help")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def click(pilot: Pilot[str], text: str) -> None:
    """Clicks into the middle of a text on the key bar."""
    await until(pilot, shows(pilot, text))
    at = screen_text(pilot.app).splitlines()[-1].index(text) + len(text) // 2
    await pilot.click(KeyBar, offset=(at, 0))


@pytest.mark.action("help", "help_in_form")
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_help_has_every_action_of_the_place_at_any_size(
    runs: Path, size: tuple[int, int], language: str
) -> None:
    app = app_of(runs, None, language)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        for keys, place, last in (
            ("question_mark", "home", "help"),
            ("n f1", "new", "help_in_form"),
        ):
            await pilot.press(*keys.split())
            await until(pilot, shows(pilot, say(f"help.title_{place}")))
            await pilot.press("end")
            words = action(last).help.split()
            await until(pilot, shows(pilot, words[0], words[-1]))
            await pilot.press("escape")
        assert isinstance(app.screen, NewRunScreen)


async def test_help_is_in_two_columns_where_there_is_room(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: len(app.screen.query(".help-column")) == 2)
        left, right = app.screen.query(".help-column")
        await until(pilot, lambda: bool(right.region) and left.region.y == right.region.y)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: left.region.x == right.region.x)


@pytest.mark.action("palette")
async def test_the_palette_offers_what_applies_and_the_themes(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("ctrl+p")
        await until(pilot, shows(pilot, "new  (n)", "demo  (d)"))
        assert "stop  (s)" not in screen_text(app)
        await pilot.press(*"contrast")
        await until(pilot, shows(pilot, "theme: high contrast"))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.theme == "kocr-contrast")


def copied(app: ConsoleApp, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", texts.append)
    return texts


@pytest.mark.action("copy")
async def test_copying_takes_the_pane_in_focus_with_what_is_out_of_sight(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    story = training_story(runs)
    app = app_of(runs, story.run.id)
    texts = copied(app, monkeypatch)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "교보문고", "now training"))
        app.screen.query_one("#pane-6").focus()
        await pilot.press("y")
        await until(pilot, shows(pilot, "Copied."))
        assert "tmux" not in screen_text(app)
        lines = texts[0].splitlines()
        assert lines[0] == "6 Log"
        assert "row set aside: train.jsonl row 7: [b]empty[/b] label" in texts[0]
        assert "row set aside" not in screen_text(app)


async def test_copying_without_a_focus_takes_the_whole_screen(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    story = training_story(runs)
    app = app_of(runs, story.run.id)
    texts = copied(app, monkeypatch)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "교보문고"))
        await pilot.press("y")
        await until(pilot, shows(pilot, "Copied. tmux passes it on only with"))
    for part in ("✗ died", "used 15.69", "normalised 70.0 %", "02-555␛[31m-1234"):
        assert part in texts[0]
    assert "\x1b" not in texts[0]


async def test_copying_the_list_of_runs_keeps_columns(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_story(runs)
    app = app_of(runs)
    texts = copied(app, monkeypatch)
    async with app.run_test(size=(200, 50)) as pilot:
        await until(pilot, shows(pilot, "120/400", "signs"))
        await pilot.press("y")
        await until(pilot, lambda: bool(texts))
    heading, row = texts[0].splitlines()
    assert row.index("signs ") == heading.index("run")


@pytest.mark.action("save_text")
async def test_saving_writes_a_file_and_tells_which(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = training_story(runs)
    monkeypatch.chdir(tmp_path)
    app = app_of(runs, story.run.id)
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        await until(pilot, shows(pilot, "교보문고"))
        app.screen.query_one("#pane-5").focus()
        await pilot.press("w")
        await until(pilot, shows(pilot, "Written to"))
    (file,) = tmp_path.glob("kocr-training-*.txt")
    assert "02-555␛[31m-1234" in file.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_leads_to_the_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    first, second = (save_text("text\n", "home", EPOCH) for _ in range(2))
    assert first.parent == second.parent == Path(os.environ["KOCR_HOME"]) / "exports"
    assert (first.name, second.name) == (
        "kocr-home-20251124-160000.txt",
        "kocr-home-20251124-160000-2.txt",
    )


@pytest.mark.action("open_run", "switch_view", "back", "detach")
async def test_the_way_through_the_console(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, shows(pilot, "120/400"))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            await until(pilot, lambda: app.screen.place == "training")
            await pilot.press("t")
            await until(pilot, lambda: app.screen.place == "tuning")
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            await pilot.press("q")
    assert app.return_value == story.run.id


@pytest.mark.action("quit")
async def test_quitting_leaves_nothing_to_tell(runs: Path) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("q")
        await asyncio.wait_for(_ended(app), 10)
    assert (app.return_value, app.return_code) == (None, 0)


async def _ended(app: ConsoleApp) -> None:
    while app.is_running:
        await asyncio.sleep(0.02)


@pytest.mark.action("pause", "evaluate")
@pytest.mark.parametrize(
    ("key", "state", "request_"),
    [("p", "training", "pause"), ("p", "paused", "continue"), ("e", "training", "evaluate")],
)
async def test_a_worker_is_asked_by_one_key(
    runs: Path, key: str, state: State, request_: str
) -> None:
    story = training_story(runs)
    story.state(state)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, shows(pilot, say(f"state.{state}"), "0.524"))
            await pilot.press(key)
            await until(pilot, lambda: asked_of(story.run) != [])
    [asked] = asked_of(story.run)
    assert asked.request == request_
