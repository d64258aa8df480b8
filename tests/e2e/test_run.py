"""Runs by real worker processes: the whole way, stops, kills, lost terminals and mistakes."""

import json
import os
import pty
import random
import select
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from e2e_box import Box, untuned, wait_for_end, wait_until, write_config

from core.events import ProbeFinished
from core.launch import launch
from core.run_dir import RunDir, create_run, list_runs
from core.run_watch import RunWatch, watch
from core.train.checkpoints import checkpoint

pytestmark = pytest.mark.e2e
LAST = "checkpoints/step-00000024"


def weights(run: RunDir) -> dict[str, bytes]:
    """The bytes of the last checkpoint's adapter and optimizer."""
    names = ("adapter/adapter_model.safetensors", "optimizer.safetensors")
    return {name: (run.path / LAST / name).read_bytes() for name in names}


def start(box: Box, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> RunWatch:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    launch(run)
    return RunWatch(run)


def test_a_run_tunes_trains_validates_and_ends(finished: RunDir) -> None:
    done = watch(finished)
    state = done.state
    assert done.problems == []
    assert state.finished is not None
    assert (state.finished.state, state.finished.exit_code) == ("done", 0)
    assert [step.step for step in state.steps] == list(range(1, 25))
    assert state.tuned is not None
    assert state.tuned.choice.max_pixels == 48 * 784
    assert [probe.fits for probe in state.probes] == [True]
    assert state.baseline is not None
    assert state.final is not None
    assert state.baseline.scores.n == state.final.scores.n == 8
    assert state.rolling
    assert all(
        scores.share is not None and scores.share <= 0.2 + 1e-9 for scores in state.rolling[:-1]
    )
    assert state.steps[-1].peak_bytes <= state.steps[-1].limit_bytes
    assert checkpoint.verify(finished.path / LAST) is None


def test_the_probe_was_not_below_what_training_took(finished: RunDir) -> None:
    state = watch(finished).state
    [probe] = state.probes
    assert isinstance(probe, ProbeFinished)
    assert probe.peak_bytes is not None
    assert max(step.peak_bytes for step in state.steps) <= probe.peak_bytes


def test_the_adapter_loads_with_plain_peft(finished: RunDir) -> None:
    from peft import PeftModel
    from transformers import Qwen2VLForConditionalGeneration

    base = Qwen2VLForConditionalGeneration.from_pretrained(finished.config().model.path)
    adapted = PeftModel.from_pretrained(base, str(finished.path / LAST / "adapter"))
    trained = [value for name, value in adapted.named_parameters() if "lora_B" in name]
    assert len(trained) == 4 * 7
    assert all(value.abs().max() > 0 for value in trained)


def test_no_checkpoint_holds_a_pickle(finished: RunDir) -> None:
    suffixes = {path.suffix for path in finished.checkpoints.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".md"}


def test_stopped_at_random_and_resumed_gives_the_same_bytes(
    box: Box, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = box.new_run()
    running = start(box, run, monkeypatch)
    at = random.randrange(2, 20)
    wait_until(running, lambda seen: seen.state.step >= at)
    run.request("stop")
    wait_for_end(running)
    status = box.status(run)
    assert status["state"] == "stopped"
    assert at <= status["checkpoint_step"] < 24
    resumed = box.kocr("resume", run.id, "--headless")
    assert resumed.returncode == 0, resumed.stderr
    assert weights(run) == weights(finished)
    state = watch(run).state
    assert [step.step for step in state.steps] == list(range(1, 25))


def test_the_stop_command_waits_until_the_worker_has_saved_and_left(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = box.new_run()
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 1)
    stopped = box.kocr("stop", "--json")
    assert stopped.returncode == 0, stopped.stderr
    status = json.loads(stopped.stdout)
    assert (status["run"], status["state"]) == (run.id, "stopped")
    assert status["checkpoint_step"] == status["step"]
    assert run.worker_pid() is None


def test_sigterm_saves_and_leaves_with_exit_code_3(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = box.new_run()
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    pid = running.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_for_end(running)
    assert running.state.finished is not None
    assert running.state.finished.exit_code == 3
    path, passed_over = checkpoint.newest(run.checkpoints)
    assert path is not None
    assert passed_over == []


def test_abort_leaves_without_saving(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    run = box.new_run()
    running = start(box, run, monkeypatch)
    wait_until(running, lambda seen: seen.state.step >= 2)
    aborted = box.kocr("abort", run.id, "--json")
    assert aborted.returncode == 0, aborted.stderr
    assert json.loads(aborted.stdout)["state"] == "aborted"
    assert list(run.checkpoints.iterdir()) == []


def test_a_busy_run_is_refused_in_one_line(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    run = box.new_run()
    running = start(box, run, monkeypatch)
    second = box.kocr("resume", run.id)
    assert second.returncode == 2
    [line] = second.stderr.splitlines()
    assert f"process {running.worker_pid()}" in line
    assert f"kocr-tui attach {run.id}" in line
    assert box.kocr("abort", run.id).returncode == 0


def test_the_run_outlives_its_terminal(box: Box) -> None:
    """`train` in a terminal that is hung up (SIGHUP), then `attach`."""
    config = write_config(box.home / "run.toml", untuned(box.config, 0.06))
    before = {run.id for run in list_runs(box.runs)}
    pid, terminal = pty.fork()
    if pid == 0:
        command = box.command("train", "-c", str(config), "--headless")
        os.execvpe(command[0], command, box.environment)
    seen = b""
    while b"probe 1" not in seen:
        seen += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(pid, 0)
    [run] = [run for run in list_runs(box.runs) if run.id not in before]
    running = watch(run)
    assert running.worker_pid() is not None
    wait_until(running, lambda seen: seen.state.step >= 1)
    attached = box.kocr("attach", run.id, "--headless")
    assert attached.returncode == 0, attached.stderr
    assert "done: trained 24 steps" in attached.stdout
    assert box.status(run)["state"] == "done"


def test_a_missing_image_ends_the_run_with_the_row_and_exit_code_2(box: Box) -> None:
    folder = box.home / "broken"
    folder.mkdir(exist_ok=True)
    rows = (
        Path(box.config.data.train)
        .read_text(encoding="utf-8")
        .replace("images/", str(box.home / "signs" / "images") + "/")
    )
    data = folder / "train.jsonl"
    data.write_text(rows.replace("000003.jpg", "nowhere.jpg"), encoding="utf-8")
    config = msgspec.structs.replace(
        box.config, data=msgspec.structs.replace(box.config.data, train=str(data))
    )
    file = write_config(folder / "run.toml", config)
    done = box.kocr("train", "-c", str(file), "--headless")
    assert done.returncode == 2
    [line] = [line for line in done.stdout.splitlines() if line.startswith("failed:")]
    assert "train.jsonl row 3" in line
    assert "nowhere.jpg: no such file" in line
    assert "--set-aside-bad-rows" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profile", "rtx9999"], ["rtx9999"]),
        (["--profile", "rtx4090"], ["rtx4090", "no CUDA"]),
        (["--model", "/nowhere/model"], ["/nowhere/model"]),
    ],
)
def test_wrong_requests_end_in_one_line(box: Box, options: list[str], words: list[str]) -> None:
    file = write_config(box.home / "wrong.toml", box.config)
    done = box.kocr("train", "-c", str(file), "--headless", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    text = (done.stdout + done.stderr).splitlines()[-1]
    for word in words:
        assert word in text
    assert "Traceback" not in done.stdout + done.stderr


def test_a_probe_dies_with_a_killed_worker(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    run = create_run(box.runs, untuned(box.config, 0.07))
    launch(run)
    running = RunWatch(run)
    wait_until(running, lambda seen: seen.state.probing is not None)
    pid = running.worker_pid()
    assert pid is not None
    [probe] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ended = os.pidfd_open(int(probe))
    os.kill(pid, signal.SIGKILL)
    readable, _, _ = select.select([ended], [], [], 60)
    os.close(ended)
    assert readable, "the probe outlived its worker by a minute"


def test_stop_while_it_is_being_tuned(box: Box) -> None:
    file = write_config(box.home / "tuned.toml", untuned(box.config, 0.08))
    process = subprocess.Popen(
        box.command("train", "-c", str(file), "--headless"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=box.environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("probe 1"):
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=120)
    assert process.returncode == 3
