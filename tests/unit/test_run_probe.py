"""A probe is a process of its own: what becomes of it is what the run hears."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from core.config import DataConfig, ModelConfig, RunConfig
from core.errors import GpuLostError, KocrError, StoppedError
from core.event_log import EventWriter
from core.profile import load_profile
from core.run_dir import RunDir
from core.train.cards import unwatched
from core.train.control import Control
from core.train.setup import Precision
from core.tune import probe
from core.tune.probe import ProbeResult, ProbeSpec
from core.tune.run_probe import ProbeTimeoutError, run_probe

CUDA = "CUDA error: unspecified launch failure"
SPEC = ProbeSpec(
    config=RunConfig(
        name="probe",
        model=ModelConfig(path="/base"),
        data=DataConfig(train="/t.jsonl", validation="/v.jsonl"),
    ),
    profile=load_profile("cpu"),
    precision=Precision("fp32", "fp32"),
    max_pixels=3136,
    width=56,
    height=56,
    prompt="prompt",
    answer="answer",
    row_tokens=1,
    prompts=1,
)


class Card:
    """The watch of a card of which NVML tells only after CUDA."""

    def __init__(self) -> None:
        self._known = False

    def check(self) -> None:
        if self._known:
            raise GpuLostError("Xid 79")

    def settle(self) -> None:
        self._known = True


@pytest.fixture
def control(tmp_path: Path) -> Control:
    run = RunDir(tmp_path)
    return Control(run, EventWriter(run.events_file))


def result_of(code: str, control: Control, seconds: float = 60) -> ProbeResult:
    return run_probe(SPEC, control, seconds, [sys.executable, "-c", code])


def writes(result: ProbeResult) -> str:
    data = msgspec.json.encode(result)
    return f"import pathlib, sys; pathlib.Path(sys.argv[2]).write_bytes({data!r})"


def test_a_probe_that_ran_is_what_it_measured(control: Control) -> None:
    measured = ProbeResult(fits=True, peak_bytes=1, step_seconds=0.5)
    assert result_of(writes(measured), control) == measured


@pytest.mark.parametrize("lost", [True, False])
def test_one_that_failed_fails_with_its_sentence(control: Control, lost: bool) -> None:
    with pytest.raises(KocrError) as caught:
        result_of(writes(ProbeResult(fits=False, error="its words", lost=lost)), control)
    assert str(caught.value) == "its words"
    assert type(caught.value) is (GpuLostError if lost else KocrError)


def test_one_that_died_is_an_error_unless_its_card_failed(control: Control) -> None:
    dies = "import os; os.kill(os.getpid(), 6)"
    with pytest.raises(KocrError, match="3,136 pixels died with exit status -6") as caught:
        result_of(dies, control)
    assert not isinstance(caught.value, GpuLostError)
    control.card = Card()  # type: ignore[assignment]
    with pytest.raises(GpuLostError, match="Xid 79"):
        result_of(dies, control)


def test_one_that_takes_too_long_or_is_no_longer_wanted_is_killed(
    control: Control, tmp_path: Path
) -> None:
    hangs = "import threading; threading.Event().wait()"
    with pytest.raises(ProbeTimeoutError, match="took over 0 s"):
        result_of(hangs, control, seconds=0)
    RunDir(tmp_path).request("stop")
    with pytest.raises(StoppedError):
        result_of(hangs, control)


@pytest.mark.parametrize(("lost", "code"), [(True, 0), (False, 1)])
def test_a_probe_says_that_its_card_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool, code: int
) -> None:
    asked, answer = tmp_path / "spec.json", tmp_path / "result.json"
    asked.write_bytes(msgspec.json.encode(SPEC))
    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(unwatched, "context_is_lost", lambda: lost)
            monkeypatch.setattr(probe, "probe", fail)
            probe.main([str(asked), str(answer)])
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert answer.exists() is lost
    if lost:
        told = msgspec.json.decode(answer.read_bytes(), type=ProbeResult)
        assert told.lost
        assert told.error is not None
        assert told.error.startswith(f"{SPEC.profile.title}: {CUDA}: CUDA does nothing more")


def fail(_spec: ProbeSpec) -> ProbeResult:
    raise RuntimeError(f"{CUDA}\nCUDA kernel errors might be reported later")
