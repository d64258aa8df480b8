"""What a person sees while signs are read."""

import io
import sys

import pytest

from core.reading import Told
from kocr_tui.plain.reading_progress import ReadingLine
from kocr_tui.strings import use_language


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(terminal: Terminal) -> list[str]:
    return [line for line in terminal.getvalue().split("\r\x1b[K") if line]


def test_the_line_tells_how_many_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    use_language("en")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    now = iter(float(second) for second in range(100, 200))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    line = ReadingLine()
    line.hear(0, 0, Told(out="out.jsonl"))
    line.hear(64, 300, Told(opening=True))
    line.hear(8, 20, Told())
    line.hear(12, 20, Told(seconds_left=75.0))
    line.clear()
    assert line.out == "out.jsonl"
    first, second, third = drawn(terminal)
    assert first == "photos looked at 64 / 300"
    assert second == "signs read 8 / 20"
    assert third.startswith("signs read 12 / 20  ")
    assert third.endswith(" samples/s  1m 15s left")
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_notes_are_told_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    line = ReadingLine()
    line.hear(3, 20, Told(note="a\x1b[2Jb"))
    line.clear()
    assert capsys.readouterr().err == "kocr-tui: a␛[2Jb\n"
