"""The doctor's checks of the terminal."""

import os

import pytest

from core.hardware.doctor.terminal import braille, colours, terminal


@pytest.mark.parametrize(
    ("term", "size", "state"),
    [
        ("tmux-256color", (120, 40), "ok"),
        ("xterm-256color", (79, 40), "warning"),
        ("xterm-256color", (80, 23), "warning"),
        ("dumb", (120, 40), "failure"),
        ("", (120, 40), "failure"),
    ],
)
def test_terminal(
    monkeypatch: pytest.MonkeyPatch, term: str, size: tuple[int, int], state: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setattr(os, "get_terminal_size", lambda fd=1: os.terminal_size(size))
    finding = next(terminal())
    assert finding.state == state
    assert ", in tmux" in finding.detail


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ok"),
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "warning"),
        ({"LC_ALL": "", "LC_CTYPE": "en_US.utf8"}, "ok"),
        ({}, "warning"),
    ],
)
def test_locale(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], state: str) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = {finding.check: finding for finding in terminal()}
    assert found["locale"].state == state
    assert found["braille"].state == state


@pytest.mark.parametrize(
    ("term", "environment", "state", "words"),
    [
        ("xterm-256color", {"COLORTERM": "truecolor"}, "ok", "16 million"),
        ("xterm", {"COLORTERM": "24bit"}, "ok", "16 million"),
        ("xterm-256color", {}, "info", "256;"),
        ("xterm-kitty", {}, "info", "256;"),
        ("xterm", {}, "warning", "16 by TERM=xterm"),
        ("screen", {}, "warning", "16 by TERM=screen"),
        ("dumb", {}, "warning", "none by TERM=dumb"),
        ("xterm-256color", {"NO_COLOR": "1", "COLORTERM": "truecolor"}, "info", "NO_COLOR"),
    ],
)
def test_colours(
    monkeypatch: pytest.MonkeyPatch,
    term: str,
    environment: dict[str, str],
    state: str,
    words: str,
) -> None:
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    finding = colours(term)
    assert finding.state == state
    assert words in finding.detail


def test_the_linux_console_has_no_braille() -> None:
    assert braille("linux", unicode=True).state == "warning"
    assert braille("xterm-256color", unicode=True).state == "ok"
    assert braille("xterm-256color", unicode=False).fix == "export LC_ALL=C.UTF-8"
