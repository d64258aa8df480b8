"""After a card failed, only one that passes a check is trained on again."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from fake_nvml import build, run

from core.config import DataConfig, DeviceConfig, ModelConfig, RunConfig
from core.errors import GpuLostError, KocrError, StoppedError
from core.event_log import EventReader, EventWriter
from core.events import Finished, Log, TrainingStarted, WorkerStarted
from core.profile import load_profile
from core.run_dir import RunDir
from core.train.cards import check as card_check
from core.train.cards import trial
from core.train.cards.check import check_cards, failed_before
from core.train.control import Control

CONFIG = RunConfig(
    name="cards",
    model=ModelConfig(path="/base"),
    data=DataConfig(train="/t.jsonl", validation="/v.jsonl"),
)
LOST = Finished(state="failed", exit_code=4, message="Xid 79")
FAILED = Finished(state="failed", exit_code=1, message="no")
TRAINING = TrainingStarted(step=0, steps=1, epochs=1, samples=1, trainable_parameters=1)


def worker(device: str) -> WorkerStarted:
    return WorkerStarted(
        pid=1, attempt=1, device=device, card="", profile="", capacity_bytes=1, versions={}
    )


@pytest.fixture
def made(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    run.control_folder.mkdir()
    return run


def check(made: RunDir, *code: str, config: RunConfig = CONFIG) -> None:
    events = EventWriter(made.events_file)
    command = [sys.executable, "-c", *code] if code else card_check.TRIAL
    check_cards(made, config, load_profile("cpu"), [], Control(made, events), events, command)


@pytest.mark.parametrize(
    ("past", "failed"),
    [
        ((), False),
        ((worker("cuda"), LOST), True),
        ((LOST, worker("cuda")), True),
        ((LOST, worker("cuda"), LOST), True),
        ((LOST, worker("cuda"), TRAINING), False),
        ((LOST, worker("cuda"), FAILED), True),
    ],
)
def test_only_training_since_then_clears_a_failed_card(
    made: RunDir, past: tuple[object, ...], failed: bool
) -> None:
    events = EventWriter(made.events_file)
    for event in past:
        events.write(event)  # type: ignore[arg-type]
    assert failed_before(made) is failed


def test_a_device_that_computes_passes_and_is_told(made: RunDir) -> None:
    check(made)
    [event] = EventReader(made.events_file).poll()
    assert isinstance(event, Log)
    assert event.message.endswith("passed a check after it had failed: training goes on")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('CUDA error: unknown error')", "CUDA error: unknown error"),
        ("import os; os.kill(os.getpid(), 11)", "it ended with exit status -11 and no word"),
    ],
)
def test_one_that_does_not_is_refused_with_its_words(made: RunDir, code: str, words: str) -> None:
    with pytest.raises(GpuLostError, match="didn't pass its check") as caught:
        check(made, code)
    assert words in str(caught.value)
    assert "nvidia-smi -r" in str(caught.value)


def test_one_that_hangs_is_refused(made: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_check, "TRIAL_SECONDS", 0.0)
    with pytest.raises(GpuLostError, match="has computed nothing within 0 s"):
        check(made, "import threading; threading.Event().wait()")


def test_a_stop_is_obeyed_while_it_is_tried(made: RunDir) -> None:
    made.request("stop")
    with pytest.raises(StoppedError):
        check(made, "import threading; threading.Event().wait()")


def test_a_run_that_was_on_a_card_does_not_go_on_on_the_cpu_by_itself(made: RunDir) -> None:
    EventWriter(made.events_file).write(worker("cuda"))
    chosen = msgspec.structs.replace(CONFIG, device=DeviceConfig(profile="cpu"))
    check(made, "", config=chosen)
    with pytest.raises(GpuLostError, match="was on a card, and none can be seen now"):
        check(made, "")


def test_the_cpu_computes_exactly() -> None:
    trial.try_device(torch.device("cpu"))


def test_one_wrong_number_is_found() -> None:
    expected = np.zeros((2, 2))
    almost = torch.zeros(2, 2)
    almost[1, 1] = 2**-20
    with pytest.raises(KocrError, match="1 of 4 numbers of a matrix product are wrong"):
        trial._compare(torch.device("cpu"), "a matrix product", almost, expected)


def test_a_device_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    assert trial.main(["cuda", "1"]) == 1
    [line] = capfd.readouterr().err.splitlines()
    assert line


HOLD = """
import json, os, subprocess, sys
from core.errors import GpuLostError, UsageError
from core.profile import load_profile
from core.train.cards.own import hold_cards
said = []
def attempt(processes, profile="a100-40gb", meanwhile=lambda: None):
    try:
        with hold_cards(load_profile(profile), processes, said.append) as cards:
            return meanwhile() or [card.uuid for card in cards]
    except (GpuLostError, UsageError) as error:
        return [error.exit_code, str(error)]
"""
FIRST, SECOND = (f"GPU-a1000000-0000-0000-0000-0000000000{size}" for size in (40, 80))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def held(library: Path, box: str, asked: str, home: Path, **environment: str) -> object:
    code = f"{HOLD}print(json.dumps({asked}))"
    return msgspec.json.decode(run(library, box, code, KOCR_HOME=str(home), **environment))


def test_a_run_holds_the_cards_that_it_trains_on(library: Path, tmp_path: Path) -> None:
    asked = "[attempt(1), attempt(2), attempt(3), attempt(1, 'cpu')]"
    one, both, too_many, none = held(library, "two", asked, tmp_path)  # type: ignore[misc]
    assert (one, both, none) == ([FIRST], [FIRST, SECOND], [])
    assert too_many == [2, "device.processes is 3, but 2 cards can be seen; take fewer, or look at "
                           "CUDA_VISIBLE_DEVICES"]  # fmt: skip
    [chosen] = held(library, "two", "[attempt(1)]", tmp_path, CUDA_VISIBLE_DEVICES="1")  # type: ignore[misc]
    assert chosen == [SECOND]


def test_a_held_card_is_refused_to_a_program_with_another_home(
    library: Path, tmp_path: Path
) -> None:
    second = f"{HOLD}print(json.dumps(attempt(2)))"
    home = {"KOCR_HOME": str(tmp_path / "b")}
    code = f"""[os.getpid(), attempt(1, meanwhile=lambda: json.loads(subprocess.run(
        [sys.executable, "-c", {second!r}], env=os.environ | {home}, stdout=subprocess.PIPE
    ).stdout))]"""
    pid, refused = held(library, "two", code, tmp_path / "a")  # type: ignore[misc]
    assert refused == [
        2,
        f"NVIDIA A100-SXM4-40GB: busy: process {pid} trains on it, reads with it, or fills a cache",
    ]


def test_where_programs_with_another_home_are_not_kept_out_it_is_told(
    library: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    asked = "[attempt(1), said]"
    found, said = held(library, "two", asked, tmp_path, KOCR_LOCKS=str(nowhere))  # type: ignore[misc]
    assert found == [FIRST]
    assert said == [
        "NVIDIA A100-SXM4-40GB: only programs with the same $KOCR_HOME are kept off it: "
        f"{nowhere}/kocr-tui: No such file or directory; let $KOCR_LOCKS name a folder that all "
        "users can write to"
    ]
    assert (tmp_path / "locks" / f"{FIRST}.lock").exists()


def test_a_lost_card_is_refused_before_anything_is_tried(library: Path, tmp_path: Path) -> None:
    [code, why] = held(library, "lost", "attempt(1, 'l4')", tmp_path)  # type: ignore[misc]
    assert code == 4
    assert why.startswith("NVIDIA L4 (GPU 0): the driver no longer reaches it; reset it")
