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
from exported import trained
from learners import Signs

from core import exporting
from core.errors import KocrError
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


def test_people_are_told_what_was_written(
    run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", run.id, str(tmp_path / "out"), "--no-verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'}: the adapter of step 1, ")
    assert lines[-1] == "! nothing was read with it (--no-verify)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_reads_nothing_stays(
    number: signal.Signals, run: RunDir, tmp_path: Path
) -> None:
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
                exporter.send_signal(number)
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
