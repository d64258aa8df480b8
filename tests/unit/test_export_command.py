"""`export`: what its options ask for, and the processes behind it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from exported import exported, trained, without_a_process
from learners import Signs

from core import exporting
from core.errors import KocrError
from core.export import verify
from core.export.plain_reader import PlainRequest
from core.exporting import EXPORTER, ExportRequest
from core.run_dir import RunDir
from kocr_tui.cli import main
from kocr_tui.commands import export as command
from kocr_tui.options.arguments import make_parser


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def run(signs: Signs) -> RunDir:
    return trained(signs)


@pytest.fixture(autouse=True)
def home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    monkeypatch.setenv("LANG", "C.UTF-8")


def test_the_options_are_what_is_asked(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ExportRequest] = []

    def stand_in(request: ExportRequest, _tell: Any) -> None:
        asked.append(request)
        raise KocrError("enough")

    monkeypatch.setattr(command, "export", stand_in)
    monkeypatch.chdir(tmp_path)
    assert main(["export", run.id, "out"]) == 1
    options = ["--merge", "--checkpoint", "12", "--force", "--no-verify"]
    assert main(["export", "last", str(tmp_path / "x"), *options]) == 1
    plain = ExportRequest(run=str(run.path), out=str(tmp_path / "out"))
    assert asked == [
        plain,
        msgspec.structs.replace(
            plain, out=str(tmp_path / "x"), merge=True, checkpoint=12, force=True, verify=False
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "last"], ["OUT"]),
        (["export", "last", "out", "--checkpoint", "newest"], ["best, last or a step", "newest"]),
        (["export", "last", "out", "--checkpoint", "-1"], ["--checkpoint"]),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(arguments)
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)


def test_the_command_exports_and_a_process_of_its_own_reads(
    run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", run.id, str(out), "--merge", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["out"], told["kind"], told["step"]) == (str(out), "merged", 1)
    assert told["verified"] == {"rows": 8, "changed": 0, "weights": "fp32"}
    assert told["files"].keys() == {path.name for path in out.iterdir()} - {"export.json"}
    assert main(["export", run.id, str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("language", "asked", "first", "last"),
    [
        ("en", {}, "the adapter of step 1, ", "plain peft changed 0 of 2 replies"),
        ("ko", {}, "1 스텝의 어댑터, ", "답 2개 중 0개가 달라졌습니다"),
        ("en", {"verify": False}, "the adapter of step 1, ", "! nothing was read with it"),
    ],
)
def test_people_are_told_what_was_written(
    language: str, asked: dict[str, Any], first: str, last: str, run: RunDir, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    without_a_process(monkeypatch)
    made = exported(run, tmp_path / "out", **asked)
    monkeypatch.setattr(command, "export", lambda _request, _tell: made)
    assert main(["--lang", language, "export", run.id, str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'}: {first}")
    assert last in lines[-1]


def test_stopped_while_it_reads_nothing_stays(run: RunDir, tmp_path: Path) -> None:
    asked = tmp_path / "request"
    place = tmp_path / "place"
    place.mkdir()
    request = ExportRequest(run=str(run.path), out=str(place / "out"), merge=True)
    asked.write_bytes(msgspec.json.encode(request))
    with subprocess.Popen(
        [*EXPORTER, str(asked), str(tmp_path / "report")],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as exporter:
        assert exporter.stdout is not None
        for line in exporter.stdout:
            if "signs read" in line:
                assert [path.name for path in place.iterdir()] == [f".out.export-{exporter.pid}"]
                exporter.send_signal(signal.SIGTERM)
                break
        exporter.stdout.read()
        assert exporter.wait() == 3
    assert list(place.iterdir()) == []
    assert not (tmp_path / "report").exists()


def test_an_exporter_without_a_word_is_told(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "EXPORTER", (sys.executable, "-c", ""))
    request = ExportRequest(run=str(run.path), out=str(tmp_path / "out"))
    with pytest.raises(KocrError, match="ended with code 0 and no word"):
        exporting.export(request, lambda _done, _total, _words: None)


def test_a_reader_that_fails_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = (sys.executable, "-c", "raise ValueError('first\\nno such tensor')")
    monkeypatch.setattr(verify, "_READER", fails)
    request = PlainRequest(model="m", dtype="float32", device="cpu", threads=1, rows=())
    with pytest.raises(KocrError, match=r"can't read with the export: no such tensor; nothing"):
        verify.read_elsewhere(request, tmp_path, lambda _done, _total: None)
