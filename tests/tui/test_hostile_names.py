"""A run whose folder was given a forged name: every output shows it, and none obeys it."""

import json
import os
import signal
from pathlib import Path

import pytest
from tui_pilot import screen_text, until
from tui_story import EPOCH, Story, training_story, worker_of

from core.hardware.doctor import Finding
from core.run_dir import RunDir
from core.visible_text import is_plain, visible
from kocr_tui import cli
from kocr_tui.app import ConsoleApp
from kocr_tui.plain.doctor_report import findings_text
from kocr_tui.reading.completion import complete_path
from kocr_tui.reading.model_list import known_models
from kocr_tui.screens.compare import CompareScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.run import RunScreen

# An escape sequence, a mark that turns writing round, markup, a line's end, and no UTF-8.
NAME = os.fsdecode("간\x1b[2J\u202e[b]x\n".encode() + b"\xff")
SHOWN = "간␛[2J<202E>[b]x␊<DCFF>"


@pytest.fixture
def story(runs: Path) -> Story:
    """A run in training whose config can't be read, so that its folder's name stands for it."""
    told = training_story(runs)
    told.run = RunDir(told.run.path.rename(runs / NAME))
    told.run.config_file.write_text("no TOML")
    told.run.log_file.mkdir()
    return told


def assert_harmless(text: str) -> None:
    assert is_plain(text.replace("\n", "")), ascii(text)


COMMANDS = [
    ("runs",),
    ("status",),
    ("status", NAME),
    ("status", f"{NAME}-not"),
    ("attach", NAME, "--headless"),
    ("stop", NAME),
    ("resume", NAME),
]


@pytest.mark.parametrize("words", COMMANDS, ids=ascii)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_commands_show_a_forged_name_in_one_harmless_line(
    runs: Path,
    story: Story,
    words: tuple[str, ...],
    language: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert story.run.path.is_dir()
    cli.main([*words, "--runs", str(runs), "--lang", language])
    told = capsys.readouterr()
    [line] = (told.out + told.err).splitlines()
    assert_harmless(line)
    assert SHOWN in line


def test_a_mistake_in_the_options_is_shown_without_effect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["runs", NAME])
    [line] = capsys.readouterr().err.splitlines()
    assert f"unrecognized arguments: {SHOWN};" in line


def test_a_stop_names_the_run_without_effect(
    runs: Path, story: Story, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker_of(story.run) as pid:

        def obey(_run: RunDir, _request: str) -> str:
            story.finish("stopped", "stopped on request", 100)
            os.kill(pid, signal.SIGKILL)
            return "id"

        monkeypatch.setattr(RunDir, "request", obey)
        assert cli.main(["stop", NAME, "--runs", str(runs)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{SHOWN}: ")
    assert_harmless(line)


def test_programs_get_the_name_as_it_is(
    runs: Path, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("runs", "status"):
        assert cli.main([command, "--json", "--runs", str(runs)]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told[0] if command == "runs" else told)["run"] == story.run.id


def test_the_doctor_shows_foreign_names_without_effect() -> None:
    finding = Finding(check="disk", state="warning", detail=f"{NAME} is full", fix=f"rm {NAME}")
    text = findings_text([finding])
    assert_harmless(text)
    assert [line.split(SHOWN)[1] for line in text.splitlines()] == [" is full", ""]


async def test_the_console_shows_a_forged_name_without_effect(runs: Path, story: Story) -> None:
    Story(runs, "other").start()
    app = ConsoleApp(runs, None, "en", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=(200, 50), notifications=True) as pilot:

        async def shown(*words: str) -> None:
            await until(pilot, lambda: all(word in screen_text(app) for word in words))
            assert_harmless(screen_text(app))

        await shown(SHOWN, "died")
        for key, words in (
            ("m", ("Another name for",)),
            ("x", ("for good?",)),
            ("r", ("directory",)),
        ):
            await pilot.press(key)
            await shown(SHOWN, *words)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await shown(SHOWN, "other")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await shown(SHOWN, "Memory")
        assert app.is_running


@pytest.mark.parametrize(("key", "word"), [("s", "Stop"), ("a", "Abort")])
async def test_the_console_asks_about_a_forged_name_without_effect(
    runs: Path, story: Story, key: str, word: str
) -> None:
    app = ConsoleApp(runs, NAME, "en", clock=lambda: EPOCH + 1000)
    with worker_of(story.run):
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, lambda: "120/400" in screen_text(app))
            await pilot.press(key)
            await until(pilot, lambda: f"{word} {SHOWN}?" in screen_text(app))
            assert_harmless(screen_text(app))


async def test_a_forged_run_that_is_deleted_is_said_to_be_gone(runs: Path, story: Story) -> None:
    app = ConsoleApp(runs, NAME, "en", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "120/400" in screen_text(app))
        story.run.path.rename(runs / ".gone")
        await until(pilot, lambda: f"The folder of {SHOWN} is gone" in screen_text(app))
        assert_harmless(screen_text(app))


def test_no_field_is_offered_a_name_that_a_terminal_obeys(tmp_path: Path) -> None:
    for name in (NAME, "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "qwen2_vl"}')
        (tmp_path / f"{name}.jsonl").touch()
    offered = complete_path(f"{tmp_path}/").matches
    assert offered == (f"{tmp_path}/plain.jsonl", f"{tmp_path}/plain/")
    assert [model.name for model in known_models(tmp_path) if model.where == "folder"] == [
        "./plain"
    ]


def test_the_forged_name_is_as_hostile_as_it_says() -> None:
    assert visible(NAME) == SHOWN
    assert {"\x1b", "\u202e", "\n", "\udcff"} <= set(NAME)
