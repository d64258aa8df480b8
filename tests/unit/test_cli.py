"""The command line: quick, free of torch, and one line for every mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kocr_tui.cli import main

FORBIDDEN = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
TEXTUAL = "textual"


def kocr(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(home), "LANG": "C.UTF-8"},
    )


def loaded_modules(code: str) -> set[str]:
    """Top-level modules in a fresh process after running ``code``."""
    listing = f"{code}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_is_quick_and_light(tmp_path: Path) -> None:
    help_text = "import contextlib\nfrom kocr_tui.cli import main\n"
    help_text += "with contextlib.suppress(SystemExit): main(['--help'])"
    assert loaded_modules(help_text).isdisjoint({*FORBIDDEN, TEXTUAL, "numpy", "msgspec"})
    done = kocr("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("demo", "train", "runs", "status", "attach", "stop", "abort", "resume"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/a\x1b[2J\n/b"), "/a␛[2J␊/b: No space left on "),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: OSError,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_options: object) -> int:
        raise error

    monkeypatch.setattr("kocr_tui.commands.run", fail)
    assert main(["runs"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kocr-tui: {said}")


def test_a_reader_that_leaves_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("kocr_tui.commands.run", fail)
    monkeypatch.setattr("sys.stderr.close", lambda: None)
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["runs", "--json"], ["doctor", "--json"]])
def test_reports_need_no_torch(tmp_path: Path, command: list[str]) -> None:
    code = f"import os\nos.environ['KOCR_HOME'] = {str(tmp_path)!r}\n"
    code += f"from kocr_tui.cli import main\nmain({command!r})"
    assert loaded_modules(code).isdisjoint(FORBIDDEN)


def test_the_protocol_needs_no_torch() -> None:
    modules = "core.config, core.profile, core.events, core.run_dir, core.run_watch, core.launch"
    readers = "core.hardware.nvml, core.hardware.doctor, core.evaluate.text, core.tune.search"
    readers += ", core.reading, core.photo_files, kocr_tui.commands.predict"
    assert loaded_modules(f"import {modules}, {readers}").isdisjoint({*FORBIDDEN, TEXTUAL})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "20990101"], ["20990101", "no such run", "kocr-tui runs"]),
        (["attach", "nope", "--headless"], ["nope", "no such run"]),
        (["resume", "nope"], ["nope", "no such run"]),
        (["resume", "--allow", "weather"], ["--allow", "data-changed, validation-changed"]),
        (["stop"], ["no run is being worked on"]),
        (["abort", "nope"], ["nope", "no such run"]),
        (["train"], ["--train"]),
        (["train", "--train", "a.jsonl"], ["--validation"]),
        (["train", "-c", "missing.toml"], ["missing.toml", "no such file"]),
        (["train", "--train", "a", "--validation", "b", "--rank", "0"], ["lora.rank", ">= 1"]),
        (["train", "--train", "a", "--validation", "b", "--targets", "x"], ["lora.targets"]),
        (["predict", "a.jpg"], ["no run in", "--adapter"]),
        (["predict", "a.jpg", "--run", "nope"], ["nope", "no such run"]),
        (["predict", "a.jpg", "--adapter", "."], ["no adapter", "adapter_config.json"]),
        (["predict", "a.jpg", "--model", "./no"], ["./no", "no such folder"]),
        (["predict", "a.jpg", "--model", "o/m", "--base"], ["o/m", "--base"]),
        (["predict", "a.jpg", "--model", "o/m", "--checkpoint", "last"], ["--checkpoint"]),
        (["evaluate"], ["evaluate --help"]),
        (["evaluate", "nope"], ["nope", "no such run"]),
        (["evaluate", "o/m"], ["o/m", "JSONL"]),
        (["evaluate", "o/m", "gone.jsonl"], ["gone.jsonl", "no such file"]),
        ([], ["no terminal", "--help"]),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = kocr(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("kocr-tui: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder_of_runs(tmp_path: Path) -> None:
    assert kocr("runs", "--json", home=tmp_path).stdout == "[]\n"
    assert "kocr-tui demo" in kocr("runs", home=tmp_path).stdout
    assert "학습이 없습니다" in kocr("runs", "--lang", "ko", home=tmp_path).stdout
