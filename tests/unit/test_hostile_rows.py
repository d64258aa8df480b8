"""Rows of very long lines and of forged labels and names: bounded, and shown without effect."""

import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from malformed import picture, row

from core.data.lines import numbered_lines
from core.data.schemas import MAX_LINE_BYTES
from core.data.survey import open_rows
from core.errors import UsageError
from core.planning import PlanRequest
from core.tune import planner
from core.visible_text import is_without_form
from kocr_tui import cli
from kocr_tui.commands import plan as plan_command
from kocr_tui.reading.data_audit import survey

FORGED = "\u202egpj.[red]x[@click=app.quit]\u2066\u200b\u2028"
CONTROLS = "\x1b]52;c;cHduZWQ=\x07\x1b[2J\x9b31m"
MEGABYTE = "가" * (MAX_LINE_BYTES // 3 + 1)
Told = tuple[int, str, str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in a folder whose name would clear the screen; the home is the test's own."""
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(plan_command.launch, "plan", planner.plan)
    made = tmp_path / f"data{CONTROLS}{FORGED}"
    made.mkdir()
    picture((80, 50)).save(made / "good.png")
    return made


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs a command: its exit code, and what it put out, no line of it with any effect."""

    def run(*words: str) -> Told:
        code = cli.main(words)
        shown = capsys.readouterr()
        for line in [*shown.out.splitlines(), *shown.err.splitlines()]:
            assert not any(map(is_without_form, line)), ascii(line[:300])
        return code, shown.out, shown.err

    return run


def setups(folder: Path, model: Path) -> list[str]:
    one = ["--profile", "cpu", "--weights", "fp32", "--rank", "4", "--checkpointing", "none"]
    return ["plan", "--data", str(folder), "--model", str(model), *one, "--max-pixels", "12544"]


LABELS = [MEGABYTE, "가" * 300_000, "e" + "\u0316\u0301" * 200_000, "a" * 999_000]


def test_labels_of_a_megabyte_are_set_aside_and_the_rest_is_planned(
    folder: Path, tiny_model_folder: Path, told: Callable[..., Told]
) -> None:
    write(folder, *(row("good.png", label) for label in LABELS), row("good.png"))
    began = time.process_time()
    code, shown, _ = told("check", str(folder))
    assert code == 1
    assert len(shown) < 10_000
    _, written, _ = told("check", str(folder), "--json")
    report = json.loads(written)
    assert len(written) < 20_000
    assert report["set_aside"] == {"answer-too-long": 3, "line-too-long": 1}
    assert report["kept"] == 1
    _, shown, _ = told(*setups(folder, tiny_model_folder))
    assert "rows" in shown
    _, written, _ = told(*setups(folder, tiny_model_folder), "--json")
    assert json.loads(written)["rows"] == 1
    assert time.process_time() - began < 120


def a_name(folder: Path) -> bytes:
    picture().save(folder / f"{FORGED}.png")
    return row(f"{FORGED}.png", "가")


FORGERIES: list[tuple[Callable[[Path], bytes], str | None]] = [
    (a_name, None),
    (lambda _: row("good.png", f"마왕{FORGED}[/]"), None),
    (lambda _: row("good.png", "[bold]b[/bold] {x} %s \\x1b[31m"), None),
    (lambda _: row(f"none{FORGED}.png"), "no-such-file"),
    (lambda _: row("good.png", f"마왕{CONTROLS}"), "control-character"),
    (lambda _: row("good.png", "마왕\0"), "control-character"),
    (lambda _: row("good.png", prompt=f"읽어{CONTROLS}"), "control-character"),
    (lambda _: row(f"a{CONTROLS}.png"), "path-refused"),
    (lambda _: row("good.png\0.txt"), "path-refused"),
    (lambda _: row(f"../{FORGED}"), "path-refused"),
    (lambda _: row(f"http://x{CONTROLS}"), "path-refused"),
    (lambda _: json.dumps({"messages": [], "\x1b[2J\u202e": 1}).encode(), "wrong-turns"),
    (lambda _: b'{"messages":[],"\\u001b[2J\\u202e":1,"\\u001b[2J\\u202e":2}', "duplicate-key"),
    (lambda _: b'{"messages":[{"role":"\\u001b[2J\\u202e","content":""}]}', "wrong-structure"),
]


def test_forged_labels_and_names_are_shown_without_effect(
    folder: Path, tiny_model_folder: Path, told: Callable[..., Told]
) -> None:
    lines = [make(folder) for make, _reason in FORGERIES]
    write(folder, *lines)
    (folder / "validation.jsonl").write_bytes(lines[0] + b"\n" + lines[1] + b"\n")
    for language in ("en", "ko"):
        code, shown, _ = told("check", str(folder), "--lang", language)
        assert code == 1
        assert "[red]x[@click" in shown
        assert "<202E>" in shown
    report = json.loads(told("check", str(folder), "--json")[1])
    assert str(folder / "train.jsonl") in report["files"], "programs get the name as it is"
    given = {bad["line"]: bad["reason"] for bad in report["rows_set_aside"]}
    assert given == {n: reason for n, (_, reason) in enumerate(FORGERIES, 1) if reason}
    for words in ((), ("--why",), ("--lang", "ko")):
        assert told(*setups(folder, tiny_model_folder), *words)[0] == 0
    assert json.loads(told(*setups(folder, tiny_model_folder), "--json")[1])["rows"] == 3


def test_helpers_that_refuse_forged_rows_tell_it_in_one_safe_line(
    folder: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder, row(f"none{FORGED}.png"))
    request = PlanRequest(model=str(tiny_model_folder), profile="cpu", train=str(path))
    (tmp_path / "request").write_bytes(msgspec.json.encode(request))
    assert planner.main([str(tmp_path / "request"), str(tmp_path / "report")]) == 2
    [planned] = capsys.readouterr().err.split("\n")[:-1]
    with pytest.raises(UsageError) as surveyed:
        survey(path, lambda *_progress: None, threading.Event())
    for line in (planned, str(surveyed.value)):
        assert "no usable row; row 1: " in line
        assert "[red]x[@click" in line
        assert not any(map(is_without_form, line))


FIFTY = 50_000_000


@pytest.mark.parametrize("fill", [b" ", b"[", b'{"a":', b"\0", b"\xea\xb0\x80"])
@pytest.mark.parametrize("ended", [True, False])
def test_a_line_of_fifty_megabytes_is_one_row_set_aside(
    folder: Path, fill: bytes, ended: bool
) -> None:
    lines = (row("good.png"), b'{"messages":' + fill * (FIFTY // len(fill)), row("good.png", "나"))
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(lines if ended else (lines[0], lines[2], lines[1])))
    began = time.process_time()
    tracemalloc.start()
    try:
        rows = open_rows(path, "set-aside")
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [bad] = rows.set_aside
    assert (bad.line, bad.reason) == (2 if ended else 3, "line-too-long")
    assert [rows[index].answer for index in range(len(rows))] == ["마왕족발", "나"]
    assert most_bytes < 10_000_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "."])
def test_rows_that_would_be_read_for_ever_are_refused(
    folder: Path, target: str, told: Callable[..., Told]
) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "train.jsonl").symlink_to(target)
    code, shown, errors = told("check", str(folder))
    assert (code, shown) == (2, "")
    assert "train.jsonl: not a file" in errors


def test_places_of_rows_behind_a_very_long_line_are_kept(folder: Path) -> None:
    path = write(folder, b"x" * FIFTY, row("good.png"))
    (_, first, _), (number, start, line) = numbered_lines(path)
    assert (first, number, start, line.strip()) == (0, 2, FIFTY + 1, row("good.png"))
