"""``evaluate`` and ``predict`` by their real processes: read, stopped, gone on with, told."""

import csv
import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from e2e_box import PATIENCE_SECONDS, Box

from core.evaluate.predictions import read_predictions
from core.run_dir import RunDir

pytestmark = pytest.mark.e2e
ROWS = 24
_TICK = threading.Event()


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def without_times(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "ms"} for row in rows]


def test_a_run_is_scored_and_an_interrupted_evaluation_goes_on(
    box: Box, finished: RunDir, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    asked = ("evaluate", str(finished.path), "--json", "--batch", "2", "--out")
    done = box.kocr(*asked, str(whole))
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["n"] == ROWS
    with subprocess.Popen(
        box.command(*asked, str(out)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=box.environment,
    ) as reading:
        while lines_of(out) < 3:
            assert reading.poll() is None, reading.communicate()
            _TICK.wait(0.01)
        reading.send_signal(signal.SIGINT)
        told, errors = reading.communicate(timeout=PATIENCE_SECONDS)
    assert reading.returncode == 3, errors
    so_far = json.loads(told)["n"]
    assert 2 <= so_far < ROWS
    first, second = errors.splitlines()
    assert first == f"kocr-tui: {ROWS - so_far} of {ROWS} rows are not read yet"
    assert second == "kocr-tui: stopped; the same command goes on from here"
    again = box.kocr(*asked, str(out))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == scores
    assert without_times(out) == without_times(whole)


def test_where_nothing_is_said_predictions_lie_beside_the_runs(box: Box, finished: RunDir) -> None:
    done = box.kocr("evaluate", str(finished.path), "-n", "2", "--base")
    assert done.returncode == 0, done.stderr
    found = read_predictions(finished.predictions / "evaluate-base-n2.jsonl")
    assert found.header is not None
    assert found.header.reader == "finished base"
    assert len(found.rows) == 2
    assert "finished base" in done.stdout


def test_signs_are_read_one_after_another(box: Box, finished: RunDir, tmp_path: Path) -> None:
    photos = sorted((box.home / "signs" / "images" / "validation").iterdir())[:2]
    bad = tmp_path / "bad\x1b[2J.jpg"
    bad.write_bytes(b"no photo")
    asked = ("predict", "--run", str(finished.path), *map(str, photos), str(bad))
    done = box.kocr(*asked)
    assert done.returncode == 1
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert [path for path, _text in told] == list(map(str, photos))
    assert all(text for _path, text in told)
    failure, total = done.stderr.splitlines()
    assert "bad␛[2J.jpg: not an image in a known format" in failure
    assert total == "kocr-tui: 1 of 3 photos could not be read"

    as_json = box.kocr(*asked, "--json")
    assert as_json.returncode == 1
    objects = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [one["image"] for one in objects] == [*map(str, photos), str(bad)]
    assert [one["text"] for one in objects[:2]] == [text for _path, text in told]
    assert objects[2]["reply"] is None

    table = tmp_path / "table.csv"
    written = box.kocr(*asked, "--csv", str(table))
    assert (written.returncode, written.stdout) == (1, "")
    content = table.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfimage,text,reply,why\r\n")
    _head, *rows = csv.reader(content.decode("utf-8-sig").splitlines())
    assert [row[:2] for row in rows] == [*told, [str(bad), ""]]
    assert "not an image" in rows[2][3]
