"""A disk that refuses: one line that names the path and the cause, and nothing half-made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults import Disk, failures, files_of_at_most

from core import launch, lock
from core.config import DataConfig, ModelConfig, RunConfig
from core.errors import KocrError, UsageError
from core.run_dir import RunDir, create_run
from core.whole_file import sweep_unfinished
from kocr_tui import cli

CONFIG = RunConfig(
    name="signs",
    model=ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct"),
    data=DataConfig(train="/data/train.jsonl", validation="/data/validation.jsonl"),
)


@pytest.mark.parametrize("failure", failures(), ids=str)
@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_is_made_whole_or_not_at_all(
    tmp_path: Path, at: int, failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    with monkeypatch.context() as patch:
        disk = Disk(at, failure)
        disk.install(patch)
        with pytest.raises(KocrError) as told:
            create_run(runs, CONFIG)
    assert disk.asked >= at
    assert str(told.value).startswith(str(runs))
    assert str(told.value).endswith(f": can't make the run folder: {failure.strerror}")
    assert not runs.exists() or list(runs.iterdir()) == []


def test_a_config_that_does_not_fit_leaves_no_run(tmp_path: Path) -> None:
    with files_of_at_most(8), pytest.raises(KocrError, match="can't make the run folder: File too"):
        create_run(tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_runs_in_the_place_of_which_a_file_stands_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(KocrError, match="runs: can't make the run folder: File exists"):
        create_run(tmp_path / "runs", CONFIG)


def test_a_log_that_cannot_be_written_starts_no_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(tmp_path, CONFIG)
    run.log_file.mkdir()
    assert cli.main(["resume", run.id, "--runs", str(tmp_path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"kocr-tui: {run.log_file}: can't start the worker: Is a directory"
    assert run.worker_pid() is None


def test_a_process_that_cannot_be_made_is_told_with_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    run = create_run(tmp_path, CONFIG)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(launch, "scope_of_own", lambda _log: ())
    with pytest.raises(KocrError, match=f"{run.id}: can't start the worker: Resource temp"):
        launch.launch(run)
    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(KocrError, match="demo: can't make the demo: Resource temporarily"):
        launch.prepare_demo()


def test_a_worker_that_cannot_lock_its_run_says_so_to_who_starts_it(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    run.lock_file.mkdir()
    with pytest.raises(KocrError) as told:
        launch.launch(run)
    assert str(told.value) == f"{run.lock_file}: can't be locked: Is a directory"
    assert not isinstance(told.value, UsageError)
    assert "Traceback" not in run.log_file.read_text()


def test_the_lock_of_a_run_that_is_gone_makes_no_folder(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "gone")
    with (
        pytest.raises(KocrError, match="gone/lock: can't be locked: No such file or directory"),
        lock.hold(run.lock_file, str),
    ):
        pytest.fail("was held")
    assert not run.path.exists()


def test_only_a_lock_that_is_asked_to_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "card.lock"
    with lock.hold(path, str, makes_folder=True):
        assert path.exists()
    (tmp_path / "file").touch()
    with (
        pytest.raises(KocrError, match=r"card\.lock: can't be locked: Not a directory"),
        lock.hold(tmp_path / "file" / "more" / "card.lock", str, makes_folder=True),
    ):
        pytest.fail("was held")


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path, dead_pid: int) -> None:
    swept = [f".control.json.{dead_pid}.0a1b2c3d", f".x.{dead_pid}.{dead_pid}.01234567"]
    kept = [
        f".control.json.{os.getpid()}.0a1b2c3d",
        f"control.json.{dead_pid}.0a1b2c3d",
        f".control.json.{dead_pid}.0a1b2c3",
        f".control.json.{dead_pid}.0A1B2C3D",
        f".control.json.0{dead_pid}.0a1b2c3d",
        f".{dead_pid}.0a1b2c3d",
        ".config.toml.swp",
        ".reserve",
    ]
    for name in (*swept, *kept):
        (tmp_path / name).touch()
    link, folder = f".link.{dead_pid}.01234567", f".folder.{dead_pid}.01234567"
    (tmp_path / link).symlink_to(tmp_path / ".reserve")
    (tmp_path / folder).mkdir()
    sweep_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, link, folder}
    sweep_unfinished(tmp_path / "gone")


WRITER = """
import os, sys
from pathlib import Path
from core.whole_file import write_whole
os.fsync = lambda _file: os.kill(os.getpid(), 9)
write_whole(Path(sys.argv[1]), b"half")
"""


def test_a_worker_sweeps_its_run_when_it_takes_it(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    for path in (run.contract_file, run.predictions / "final.jsonl"):
        subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert len(list(run.path.rglob(".*.*"))) == 2
    run.config_file.write_text("unreadable, so that it leaves at once")
    command = [sys.executable, "-m", "core.train.worker", str(run.path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    assert list(run.path.rglob(".*.*")) == []
