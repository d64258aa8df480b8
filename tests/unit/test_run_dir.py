"""Run folders, requests and locks."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core import lock
from core.config import DataConfig, ModelConfig, RunConfig
from core.errors import UsageError
from core.run_dir import RunDir, create_run, find_run, home, list_runs, write_whole

CONFIG = RunConfig(
    name="간판",
    model=ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct"),
    data=DataConfig(train="/data/train.jsonl", validation="/data/validation.jsonl"),
)

HOLDER = """
import sys
from pathlib import Path
from core import lock
with lock.hold(Path(sys.argv[1]), str):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_new_run_is_private_and_keeps_its_config(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert run.config() == CONFIG
    assert run.id.endswith("-간판")


def test_runs_of_the_same_second_have_different_ids(tmp_path: Path) -> None:
    ids = {create_run(tmp_path, CONFIG).id for _ in range(5)}
    assert len(ids) == 5
    assert {run.id for run in list_runs(tmp_path)} == ids


def test_runs_are_found_by_id_start_end_and_last(tmp_path: Path) -> None:
    for name in ("20260101-000000-a", "20260102-000000-b"):
        RunDir(tmp_path / name).path.mkdir()
        (tmp_path / name / "config.toml").touch()
    assert find_run(tmp_path, "20260101-000000-a").id.endswith("-a")
    assert find_run(tmp_path, "20260102").id.endswith("-b")
    assert find_run(tmp_path, "-a").id.endswith("-a")
    assert find_run(tmp_path, "last").id.endswith("-b")
    with pytest.raises(UsageError, match="nothing: no such run"):
        find_run(tmp_path, "nothing")
    with pytest.raises(UsageError, match="more than one run"):
        find_run(tmp_path, "2026")
    with pytest.raises(UsageError, match="no such run"):
        find_run(tmp_path / "empty", "last")


def test_requests_are_read_whole(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    assert run.pending_request() is None
    first = run.request("stop")
    second = run.request("abort")
    asked = run.pending_request()
    assert asked is not None
    assert (asked.id, asked.request) == (second, "abort")
    assert first != second
    run.control_file.write_text('{"id": "x", "request": "dance", "time": 1}')
    assert run.pending_request() is None


def test_a_stop_is_not_lost_to_a_later_weaker_request(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    stop = run.request("stop")
    assert run.request("checkpoint") == stop
    standing = run.pending_request()
    assert standing is not None
    assert (standing.id, standing.request) == (stop, "stop")
    assert run.request("abort") != stop
    standing = run.pending_request()
    assert standing is not None
    assert standing.request == "abort"


def test_write_whole_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_refused_to_a_second_process_and_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    holder = hold_elsewhere(path)
    assert lock.holder(path) == holder.pid
    with (
        pytest.raises(UsageError, match=f"busy {holder.pid}"),
        lock.hold(path, lambda pid: f"busy {pid}"),
    ):
        pass
    holder.communicate("")
    assert lock.holder(path) is None


def test_a_killed_holder_frees_its_lock_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = hold_elsewhere(path)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert lock.holder(path) is None
    with lock.hold(path, str):
        pass


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    assert home() == tmp_path
