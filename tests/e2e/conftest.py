"""One run is tuned and trained to its end; the others start from its certificate."""

import shutil
from pathlib import Path

import pytest
from e2e_box import Box, small_config

from core.demo.signboards import write_dataset
from core.run_dir import RunDir, create_run

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
