"""What terminals can't do: few colours, none, no Unicode, odd sizes, a screen gone wrong."""

import os
import pty
import re
import select
import struct
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from subprocess import Popen

import pytest
from rich._palettes import STANDARD_PALETTE
from rich.color import Color, ColorSystem
from rich.segment import Segment
from textual.widgets import Input
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, training_story, worker_of

from kocr_tui.app import ConsoleApp
from kocr_tui.format import width
from kocr_tui.look.ascii import in_ascii, needs_ascii
from kocr_tui.look.palette import THEMES
from kocr_tui.settings import Look
from kocr_tui.strings import LANGUAGES

SIZES = [(80, 24), (120, 40), (200, 50)]
COLOURS = {
    "truecolor": ColorSystem.TRUECOLOR,
    "256": ColorSystem.EIGHT_BIT,
    "16": ColorSystem.STANDARD,
    "none": None,
}
Looks = list[tuple[str, str]]


def app_of(
    runs: Path, run_id: str | None = None, language: str = "en", **look: object
) -> ConsoleApp:
    return ConsoleApp(runs, run_id, language, lambda: EPOCH + 1000, Look(**look))  # type: ignore[arg-type]


def two_runs(runs: Path) -> None:
    """Two ended runs that differ in nothing but their names and times."""
    for name, at in (("one", EPOCH - 86400), ("two", EPOCH)):
        story = Story(runs, name, at=at)
        story.start()
        story.finish("stopped", "checkpoint saved", 60)


def drawn(app: ConsoleApp, row: int, system: ColorSystem | None) -> Looks:
    """Each character of a row of the screen with the escape codes of its style.

    Without a colour system only bold, underline, reverse and the like are left of a style.
    """
    strips = app.screen._compositor.render_strips()
    return [(char, _codes(segment, system)) for segment in strips[row] for char in segment.text]


def _codes(segment: Segment, system: ColorSystem | None) -> str:
    style = segment.style
    if style is None:
        return ""
    if system is None:
        style, system = style.without_color, ColorSystem.TRUECOLOR
    return style.render("x", color_system=system)


def row_with(app: ConsoleApp, text: str) -> int:
    return next(at for at, line in enumerate(screen_text(app).splitlines()) if text in line)


def styles_of(app: ConsoleApp, text: str, system: ColorSystem | None) -> list[str]:
    """The styles of that text's first place on the screen."""
    row = drawn(app, row_with(app, text), system)
    start = "".join(char for char, _style in row).index(text)
    return [style for _char, style in row[start : start + len(text)]]


def colourless(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    if system == "none":
        monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("system", COLOURS)
async def test_the_cursor_row_stands_out(
    runs: Path, monkeypatch: pytest.MonkeyPatch, theme: str, system: str
) -> None:
    colourless(monkeypatch, system)
    two_runs(runs)
    app = app_of(runs, theme=theme)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, shows(pilot, "one", "two"))
        under, other = (styles_of(app, name, COLOURS[system]) for name in ("two", "one"))
        assert under != other
        await pilot.press("down")
        await until(pilot, lambda: styles_of(app, "one", COLOURS[system]) == under)
        assert styles_of(app, "two", COLOURS[system]) == other


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("system", COLOURS)
async def test_the_pane_in_focus_stands_out(
    runs: Path, monkeypatch: pytest.MonkeyPatch, theme: str, system: str
) -> None:
    colourless(monkeypatch, system)
    story = training_story(runs)
    app = app_of(runs, story.run.id, theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "3 Loss"))
        looks = []
        for number in "31":
            pane = app.screen.query_one(f"#pane-{number}")
            pane.focus()
            await until(pilot, lambda pane=pane: app.focused is pane)
            await pilot.pause()
            looks.append(styles_of(app, "3 Loss", COLOURS[system])[0])
        assert looks[0] != looks[1]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("system", COLOURS)
async def test_the_field_in_focus_and_its_cursor_stand_out(
    runs: Path, monkeypatch: pytest.MonkeyPatch, theme: str, system: str
) -> None:
    colourless(monkeypatch, system)
    app = app_of(runs, theme=theme)
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("n")
        await until(pilot, lambda: bool(app.screen.query("#data-train")))
        for field in app.screen.query(Input):
            field.cursor_blink = False
        app.screen.query_one("#data-train", Input).value = "train-rows.jsonl"
        app.screen.query_one("#name", Input).value = "name-of-a-run"
        await until(pilot, shows(pilot, "train-rows", "name-of-a-run"))
        await pilot.press("home")
        await pilot.pause()
        here = styles_of(app, "train-rows", COLOURS[system])
        there = styles_of(app, "name-of-a-run", COLOURS[system])
        assert here[1] != there[1]
        assert here[0] != here[1]


async def test_the_basic_theme_is_legible_in_16_colours(runs: Path) -> None:
    story = training_story(runs)
    app = app_of(runs, story.run.id, theme="basic")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "3 Loss", "교보문고"))
        for strip in app.screen._compositor.render_strips():
            for segment in (one for one in strip if one.style and one.text.strip()):
                colours = (segment.style.color, segment.style.bgcolor)
                ink, paper = (
                    colour and colour.downgrade(ColorSystem.STANDARD) for colour in colours
                )
                assert ink is None or ink.number != paper.number, segment
                if any(char.isalnum() for char in segment.text):
                    assert all(is_the_terminals_own(colour) for colour in colours), segment


def is_the_terminals_own(colour: Color | None) -> bool:
    """Whether going down to 16 colours gives back the same, but for rounding."""
    if colour is None or colour.triplet is None:
        return True
    number = colour.downgrade(ColorSystem.STANDARD).number
    assert number is not None
    pairs = zip(STANDARD_PALETTE[number], colour.triplet, strict=True)
    return all(abs(one - other) <= 2 for one, other in pairs)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
async def test_ascii_leaves_nothing_but_letters(
    runs: Path, size: tuple[int, int], language: str
) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, None, language, ascii=True)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, "120/400"))
            for keys in ("enter", "t", "question_mark", "escape", "a", "n", "escape", "n"):
                await pilot.press(keys)
                await pilot.pause()
                assert_ascii(app)
            await pilot.press("escape", "ctrl+p")
            await until(
                pilot, shows(pilot, "Find a command" if language == "en" else "명령 찾기", "  (")
            )
            assert_ascii(app)


def assert_ascii(app: ConsoleApp) -> None:
    for strip in app.screen._compositor.render_strips():
        odd = {
            char
            for char in strip.text
            if not char.isascii() and not unicodedata.category(char).startswith("L")
        }
        assert not odd, strip.text
        assert width(strip.text) == app.size.width


async def test_charts_bars_and_keys_are_there_in_ascii(runs: Path) -> None:
    story = training_story(runs)
    app = app_of(runs, story.run.id, ascii=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "x died", "####", "+- 3 Loss", "''--", "similar>80"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "enter open"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("▶ 학습 █▓▒░", "> 학습 #%=."),
        ("╭─╮│╰─╯", "+-+|+-+"),
        ("⣀⠤⠒⠉⡇⢸⠡⠌⣿⠀", ".--'||\\/# "),
        ("similar≥80 – 1…", "similar>80 - 1~"),
        ("🔎é김", "? é김"),
        ("①％", "1% "),
    ],
)
def test_glyphs_in_ascii(text: str, shown: str) -> None:
    assert in_ascii(text) == shown
    assert width(text) == width(shown)


def test_every_glyph_of_the_console_has_a_stand_in_of_its_own() -> None:
    folder = Path(__file__).parents[2] / "kocr_tui"
    files = [*folder.rglob("*.py"), *folder.rglob("*.toml")]
    drawn = set("".join(file.read_text(encoding="utf-8") for file in files))
    assert not {char for char in drawn if in_ascii(char).strip() == "?"} - set("?")


@pytest.mark.parametrize(
    ("environment", "needed"),
    [
        ({"LANG": "ko_KR.UTF-8"}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "ko_KR.EUC-KR"}, True),
        ({"LANG": "ko_KR.EUC-KR", "LC_CTYPE": "ko_KR.UTF-8@x"}, False),
        ({}, False),
    ],
)
def test_the_locale_decides_on_ascii(environment: dict[str, str], needed: bool) -> None:
    assert needs_ascii(environment) == needed


async def test_a_storm_of_resizes_ends_right(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        app = app_of(runs, story.run.id)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "120/400", "0.524"))
            for _round in range(3):
                for columns, rows in (*SIZES, (59, 17), (20, 5), (1, 1), (61, 18)):
                    await pilot.resize_terminal(columns, rows)
            await until(pilot, shows(pilot, "120/400"))
            await pilot.resize_terminal(30, 10)
            await until(pilot, shows(pilot, "Needs 60 x 18"))
            await pilot.resize_terminal(120, 40)
            await until(pilot, shows(pilot, "120/400", "0.524", "3 Loss", "6 Log", "? help"))
            assert all(strip.cell_length == 120 for strip in app.screen._compositor.render_strips())


class Terminal:
    """A pseudo terminal with the console on it."""

    def __init__(self, runs: Path, *options: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "kocr_tui.cli", "--runs", str(runs), *options]
        self.process = Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "LANG": "C.UTF-8", "TERM": "xterm-256color", **environment},
        )
        os.close(slave)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, holds: Callable[[str], bool]) -> str:
        """What it writes until the condition holds for all of it."""
        written, end = b"", time.monotonic() + 60
        while not holds(written.decode(errors="replace")):
            assert time.monotonic() < end, written
            if select.select([self._master], [], [], 0.2)[0]:
                written += os.read(self._master, 65536)
        return written.decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


@pytest.mark.action("redraw")
def test_redraw_sends_the_whole_screen_again(runs: Path, terminals: list[Terminal]) -> None:
    runs.mkdir()
    terminal = Terminal(runs)
    terminals.append(terminal)
    everything = ("kocr-tui", "No runs in", "a new run", "help")
    terminal.read_until(lambda text: all(part in text for part in everything))
    terminal.press("\x0c")
    terminal.read_until(lambda text: all(part in text for part in everything))


def test_a_terminal_of_16_colours_gets_no_others(runs: Path, terminals: list[Terminal]) -> None:
    runs.mkdir()
    terminal = Terminal(runs, TERM="xterm", COLORTERM="")
    terminals.append(terminal)
    text = terminal.read_until(lambda text: "No runs in" in text and "help" in text)
    codes = {
        int(code)
        for codes in re.findall(r"\x1b\[([\d;]*)m", text)
        for code in codes.split(";")
        if code
    }
    assert codes & set(range(40, 48))
    assert not codes & {38, 48}


def test_a_locale_without_unicode_is_drawn_in_ascii(runs: Path, terminals: list[Terminal]) -> None:
    training_story(runs)
    terminal = Terminal(runs, LC_ALL="C")
    terminals.append(terminal)
    text = terminal.read_until(lambda text: "x died" in text)
    assert "✗" not in text
