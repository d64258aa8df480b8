"""``evaluate`` and ``predict`` as they are typed; what reads is the engine, in this process."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from learners import Signs
from trained_runs import BEST, TrainedRun, make_trained_run

from core.evaluate.predictions import read_predictions
from core.evaluate.text import extract_answer
from core.read.evaluate import evaluate
from core.read.predict import predict
from core.reading import Evaluation, ReadRequest, Told
from kocr_tui.cli import main

Hear = Callable[[int, int, Told], None]


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def trained(signs: Signs) -> TrainedRun:
    return make_trained_run(signs)


def read_here(request: ReadRequest, hear: Hear) -> None:
    """The work of the reading process, without the seconds that one takes to start."""
    work = request.work
    if isinstance(work, Evaluation):
        evaluate(request, work, hear)
    else:
        predict(request, work, hear)


@pytest.fixture(autouse=True)
def here(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for command in ("evaluate_reading", "predict"):
        monkeypatch.setattr(f"kocr_tui.commands.{command}.read", read_here)


def photos(signs: Signs) -> list[str]:
    return [str(path) for path in sorted((signs.home / "signs/images/validation").iterdir())[:3]]


def test_predictions_lie_beside_the_runs(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "last", "--json", "--rows"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == len(trained.adapted)
    assert {row["row"]: row["reply"] for row in told["rows"]} == trained.adapted
    assert main(["evaluate", trained.run.id, "--base", "-n", "2"]) == 0
    assert f"{trained.run.id} base" in capsys.readouterr().out
    names = {path.name for path in trained.run.predictions.glob("*.jsonl")}
    assert names == {f"evaluate-step-{BEST}.jsonl", "evaluate-base-n2.jsonl"}


def test_other_readers_write_into_this_folder(
    tiny_model_folder: Path,
    trained: TrainedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = trained.run.config().data.validation
    assert main(["evaluate", str(tiny_model_folder), data, "-n", "1", "--max-pixels", "9999"]) == 0
    [file] = tmp_path.glob("*.jsonl")
    assert file.name == f"{tiny_model_folder.name}-validation-n1-9999px.jsonl"
    assert str(file) in capsys.readouterr().out
    header = read_predictions(file).header
    assert header is not None
    assert (header.model, header.adapter, header.rows) == (str(tiny_model_folder), None, 1)


def test_signs_are_told_in_lines(
    trained: TrainedRun, signs: Signs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad\x1b[2J.jpg"
    bad.write_bytes(b"no photo")
    assert main(["predict", *photos(signs), str(bad)]) == 1
    told = capsys.readouterr()
    lines = [line.split("\t") for line in told.out.splitlines()]
    assert [path for path, _text in lines] == photos(signs)
    failure, total = (line for line in told.err.splitlines() if line.startswith("kocr-tui: "))
    assert failure.startswith(f"kocr-tui: {tmp_path}/bad␛[2J.jpg: not an image in a known format")
    assert total == "kocr-tui: 1 of 4 photos could not be read"


def test_signs_are_told_as_objects_and_tables(
    trained: TrainedRun, signs: Signs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["predict", "--run", trained.run.id, *photos(signs), "gone.jpg"]
    assert main([*asked, "--json"]) == 1
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["image"] for one in objects] == [*photos(signs), "gone.jpg"]
    assert [one["text"] for one in objects[:3]] == [extract_answer(o["reply"]) for o in objects[:3]]
    assert objects[3] | {"image": ""} == {
        "image": "",
        "text": None,
        "reply": None,
        "why": "no such file",
        "tokens": None,
        "cut": False,
    }
    table = tmp_path / "table.csv"
    assert main([*asked, "--csv", str(table)]) == 1
    assert capsys.readouterr().out == ""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [one["image"] for one in objects]
    assert [row["reply"].lstrip("'") for row in rows[:3]] == [o["reply"] for o in objects[:3]]
    assert rows[3]["why"] == "no such file"
