"""One run is tuned and trained to its end; the others start from its certificate."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box
from small_run import small_config
from ssh_box import Desk, Door, open_door, what_is_missing

from core.demo.signboards import write_dataset
from core.launch import launch
from core.run_dir import RunDir, create_run, list_runs
from core.run_watch import RunWatch

TRAIN_PHOTOS = 48


@pytest.fixture(scope="session")
def tuned_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with signs and the certificate that a first run got by a real probe."""
    folder = tmp_path_factory.mktemp("box")
    write_dataset(folder / "signs", train=TRAIN_PHOTOS, validation=24, seed=5)
    box = Box(folder, small_config(folder))
    run = create_run(box.runs, box.config)
    done = box.kocr("resume", run.id, "--headless")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(run.certificate_file, folder / "certificate.json")
    shutil.copytree(run.path, folder / "finished")
    return folder


@pytest.fixture
def box(tuned_home: Path) -> Box:
    return Box(tuned_home, small_config(tuned_home))


@pytest.fixture
def finished(tuned_home: Path) -> RunDir:
    """The first run, trained to its end without a break."""
    return RunDir(tuned_home / "finished")


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An sshd on the loopback; skips where there is no ssh."""
    if missing := what_is_missing():
        pytest.skip(missing)
    with open_door(tmp_path_factory.mktemp("sshd")) as door:
        yield door


@pytest.fixture
def desk(door: Door, tmp_path: Path) -> Iterator[Desk]:
    """Terminals whose console has a home of the test's own; ends the runs that are left there."""
    desk = Desk(door, f"kocr-test-{os.getpid()}", tmp_path / "home")
    yield desk
    desk.close()
    for run in list_runs(desk.home / "runs"):
        if (pid := run.worker_pid()) is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def long_run(desk: Desk, tuned_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunWatch:
    """A run of over a thousand steps in the desk's home, whose worker has just been started."""
    config = small_config(tuned_home)
    train = msgspec.structs.replace(config.train, epochs=100)
    box = Box(
        desk.home,
        msgspec.structs.replace(config, train=train),
        str(tuned_home / "certificate.json"),
    )
    monkeypatch.setenv("KOCR_HOME", str(desk.home))
    run = box.new_run()
    launch(run)
    return RunWatch(run)
