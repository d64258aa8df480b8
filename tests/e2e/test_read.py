"""``evaluate`` and ``predict`` by their real processes: read, stopped, gone on with, told."""

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from e2e_box import PATIENCE_SECONDS, Box

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


def test_signs_are_read_one_after_another(box: Box, finished: RunDir, tmp_path: Path) -> None:
    photos = sorted((box.home / "signs" / "images" / "validation").iterdir())[:2]
    done = box.kocr("predict", "--run", str(finished.path), *map(str, photos), "gone.jpg")
    assert done.returncode == 1
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert [path for path, _text in told] == list(map(str, photos))
    assert done.stderr.splitlines() == [
        "kocr-tui: gone.jpg: no such file",
        "kocr-tui: 1 of 3 photos could not be read",
    ]
