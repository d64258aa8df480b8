"""The card fails while a run trains: the driver is a stand-in, the worker is real."""

import os
import subprocess
from pathlib import Path

import pytest
from e2e_box import PATIENCE_SECONDS, Box, wait_for_end, wait_until, write_config
from fake_nvml import build
from test_run import weights

from core import box_lock
from core.events import CardTrouble, CheckpointSaved, Finished, Log, Step, TrainingStarted
from core.run_dir import RunDir
from core.run_watch import RunWatch
from core.train.cards.own import CPU_CARD_VARIABLE

pytestmark = pytest.mark.e2e
UUID = "GPU-4090aaaa-0000-0000-0000-000000000001"
NAME = "NVIDIA GeForce RTX 4090"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def troubles(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ails the card that every worker from here on takes the CPU for."""
    file = tmp_path / "troubles"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    monkeypatch.setenv("FAKE_NVML", "desktop4090")
    monkeypatch.setenv("FAKE_NVML_TROUBLES", str(file))
    monkeypatch.setenv(CPU_CARD_VARIABLE, UUID)
    return file


def test_a_card_that_falls_off_the_bus_ends_the_run_until_it_is_back(
    box: Box, finished: RunDir, troubles: Path
) -> None:
    run = box.new_run()
    running = RunWatch(run)
    console = subprocess.Popen(
        box.command("resume", run.id, "--headless"),
        env=box.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert console.stdout is not None
    assert run.id in console.stdout.readline()
    wait_until(running, lambda seen: seen.state.step >= 3)
    run.request("checkpoint")
    wait_until(running, lambda seen: seen.state.checkpoint_step is not None)
    saved = running.state.checkpoint_step
    assert saved is not None
    wait_until(running, lambda seen: seen.state.step > saved)
    troubles.write_text("xid 79\n")
    shown, _ = console.communicate(timeout=PATIENCE_SECONDS)
    assert console.returncode == 4, shown
    assert "Xid error 79 (fallen off the bus)" in shown
    wait_for_end(running)

    heard = run.events().poll()
    [xid] = [event for event in heard if isinstance(event, CardTrouble)]
    assert (xid.what, xid.codes) == ("xid", (79,))
    last = heard[-1]
    assert isinstance(last, Finished)
    assert (last.state, last.exit_code) == ("failed", 4)
    assert last.message.startswith(f"{NAME} (GPU 0): Xid 79 (fallen off the bus); restart the box")
    saves = [event for event in heard if isinstance(event, CheckpointSaved)]
    assert [event.step for event in saves] == [saved]

    troubles.write_text("action 2\n")
    refused = box.kocr("resume", run.id, "--headless")
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert "the driver asks for a reboot" in refused.stdout
    since = run.events().poll()[len(heard) :]
    assert not any(isinstance(event, (TrainingStarted, Step)) for event in since)

    troubles.write_text("")
    resumed = box.kocr("resume", run.id, "--headless")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    since = run.events().poll()[len(heard) :]
    logs = [event.message for event in since if isinstance(event, Log)]
    passed = f"{NAME} (GPU 0): passed a check after it had failed: training goes on"
    assert logs.index(passed) < logs.index(f"resumed from step-{saved:08d}")
    assert weights(run) == weights(finished)


@pytest.mark.usefixtures("troubles")
@pytest.mark.parametrize("command", ["tune", "cache"])
def test_what_needs_a_card_takes_none_that_another_holds(box: Box, command: str) -> None:
    file = str(write_config(box.home / "busy.toml", box.config))
    with box_lock.hold(UUID, str, box.home / "none"):
        done = box.kocr(command, *(["-c"] if command == "tune" else []), file)
    assert done.returncode == 2
    assert f"{NAME}: busy: process {os.getpid()} " in done.stdout + done.stderr
