"""Run folders, requests and locks."""

import errno
import os
import signal
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path

import msgspec
import pytest
from asked import asked_of
from faults import Disk

from core import lock
from core.config import DataConfig, ModelConfig, RunConfig
from core.errors import UsageError
from core.events import Request
from core.run_dir import (
    RunDir,
    bytes_on_disk,
    create_run,
    delete_run,
    find_run,
    home,
    list_runs,
    rename_run,
)
from core.whole_file import write_whole

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


def test_requests_wait_in_the_order_they_were_asked_in(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    assert stat.S_IMODE(run.control_folder.stat().st_mode) == 0o700
    assert asked_of(run) == []
    requests: list[Request] = ["stop", "checkpoint", "abort", "checkpoint"]
    ids = [run.request(request) for request in requests]
    assert [(asked.id, asked.request) for asked in asked_of(run)] == list(
        zip(ids, requests, strict=True)
    )
    assert len(set(ids)) == len(ids)


def test_a_request_that_the_disk_does_not_take_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tmp_path, CONFIG)
    Disk(1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).install(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        run.request("stop")
    assert list(run.control_folder.iterdir()) == []


def test_hidden_folders_are_no_runs(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    run.path.rename(tmp_path / f".{run.id}")
    assert list_runs(tmp_path) == []


def test_another_name_keeps_the_folder_the_rest_and_the_age(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    os.utime(run.config_file, (1000, 1000))
    rename_run(run, unicodedata.normalize("NFD", "새-간판.2"))
    assert run.config() == msgspec.structs.replace(CONFIG, name="새-간판.2")
    assert run.path.is_dir()
    assert run.config_file.stat().st_mtime == 1000


@pytest.mark.parametrize("name", ["", "a b", "-a", "../a", "a" * 65, "[red]"])
def test_a_name_that_breaks_the_rules_is_refused(tmp_path: Path, name: str) -> None:
    run = create_run(tmp_path, CONFIG)
    with pytest.raises(UsageError, match=r"config\.toml: name: "):
        rename_run(run, name)
    assert run.config() == CONFIG


def test_a_deleted_run_is_gone_with_leftovers_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    folder = tmp_path / "runs"
    run, other = create_run(folder, CONFIG), create_run(folder, CONFIG)
    (run.checkpoints / "link").symlink_to(outside)
    leftover = folder / ".deleting-0123"
    leftover.mkdir()
    (leftover / "config.toml").touch()
    assert {one.id for one in list_runs(folder)} == {run.id, other.id}
    delete_run(run)
    assert list(folder.iterdir()) == [other.path]
    assert (outside / "kept").read_text() == "kept"


def test_a_run_that_is_a_link_is_deleted_and_what_it_points_to_is_not(tmp_path: Path) -> None:
    real = create_run(tmp_path / "elsewhere", CONFIG)
    link = RunDir(tmp_path / "runs" / "linked")
    link.path.parent.mkdir()
    link.path.symlink_to(real.path)
    assert bytes_on_disk(link) < bytes_on_disk(real)
    delete_run(link)
    assert list(link.path.parent.iterdir()) == []
    assert real.config() == CONFIG


def test_a_run_with_a_worker_is_not_deleted(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    holder = hold_elsewhere(run.lock_file)
    with pytest.raises(UsageError, match=f"busy: process {holder.pid}"):
        delete_run(run)
    assert [one.id for one in list_runs(tmp_path)] == [run.id]
    holder.communicate("")
    delete_run(run)
    with pytest.raises(UsageError, match="no such run"):
        delete_run(run)


def test_the_size_of_a_run_counts_files_and_follows_no_link(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", CONFIG)
    config = run.config_file.stat().st_size
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    (run.checkpoints / "step-1").mkdir()
    (run.checkpoints / "step-1" / "weights").write_bytes(b"x" * 5000)
    link = run.checkpoints / "link"
    link.symlink_to(tmp_path / "big")
    assert bytes_on_disk(run) == config + 5000 + link.lstat().st_size


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
