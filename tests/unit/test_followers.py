"""What becomes of a leader when one of its other processes ends; those are real, and do little."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from core.config import DataConfig, DeviceConfig, ModelConfig, RunConfig
from core.errors import GpuLostError, KocrError, StoppedError
from core.profile import Profile
from core.run_dir import RunDir, create_run
from core.train import follower, followers
from core.train.cards import unwatched
from core.train.followers import Followers

CUDA = "CUDA error: an illegal memory access was encountered"
STAYS = "import threading; threading.Event().wait()"
SAYS = """
import sys
from core.train.followers import leave_word
leave_word("its words")
sys.exit({})
"""
SENTENCE = "process 2 of 2: its words; resume goes on from the last checkpoint"


def started(
    code: str, told: list[KocrError], processes: int = 2, patience: float = 60
) -> Followers:
    command = [sys.executable, "-c", code]
    return Followers(Path("run"), processes, told.append, command, patience)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader's own environment changes."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.parametrize(
    ("code", "expected", "sentence"),
    [
        (SAYS.format(4), GpuLostError, "process 2 of 2: its words"),
        (SAYS.format(1), KocrError, SENTENCE),
        (SAYS.format(2), KocrError, SENTENCE),
        (
            "import os; os.kill(os.getpid(), 9)",
            KocrError,
            "process 2 of 2 ended with exit status -9; worker.log has its last words; resume goes "
            "on from the last checkpoint",
        ),
    ],
    ids=["card", "error", "usage", "killed"],
)
@pytest.mark.parametrize("stuck", [True, False], ids=["the leader is stuck", "the leader hears"])
def test_one_that_dies_is_the_leaders_reason(
    code: str, expected: type[KocrError], sentence: str, stuck: bool
) -> None:
    told: list[KocrError] = []
    if stuck:
        with started(code, told, patience=0) as block:
            block._died.wait(60)
            wait_for(told)
        [error] = told
    else:
        with pytest.raises(KocrError) as caught, started(code, told) as block:
            assert block._died.wait(60)
            raise RuntimeError("Connection closed by peer")
        error = caught.value
        assert isinstance(error.__cause__, RuntimeError)
        assert told == []
    assert (type(error), str(error)) == (expected, sentence)


def wait_for(told: list[KocrError]) -> None:
    while not told:
        threading.Event().wait(0.01)


def test_a_death_that_comes_in_after_the_error_it_led_to_is_the_reason() -> None:
    """The kernel closes a dead process's connections before it tells of its end."""
    with pytest.raises(GpuLostError, match="its words"), started(SAYS.format(4), []):
        raise RuntimeError("Connection closed by peer")


def test_the_leaders_own_end_is_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoppedError), started(SAYS.format(1), []) as block:
        assert block._died.wait(60)
        raise StoppedError("stopped on request")
    monkeypatch.setattr(followers, "context_is_lost", lambda: True)
    with pytest.raises(RuntimeError, match="CUDA error"), started(SAYS.format(1), []) as block:
        assert block._died.wait(60)
        raise RuntimeError("CUDA error: unknown error")


def test_all_are_gone_at_the_end_and_nobody_asks_why() -> None:
    told: list[KocrError] = []
    with started(STAYS, told, processes=3, patience=0) as block:
        assert [process.poll() for process in block._started] == [None, None]
    assert [process.returncode for process in block._started] == [-signal.SIGKILL] * 2
    assert told == []


@pytest.mark.parametrize(
    ("lost", "code", "words"),
    [
        (True, 4, f"CPU: {CUDA}: CUDA does nothing more in this process"),
        (False, 1, ""),
    ],
)
def test_a_follower_says_that_its_card_is_lost(
    made: RunDir, monkeypatch: pytest.MonkeyPatch, lost: bool, code: int, words: str
) -> None:
    said = os.memfd_create("last-word")
    child = os.fork()
    if child == 0:
        try:
            os.environ["KOCR_LAST_WORD_FD"] = str(said)
            monkeypatch.setattr(unwatched, "context_is_lost", lambda: lost)
            monkeypatch.setattr(follower, "_follow", fail)
            follower.main([str(made.path)])
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert os.pread(said, 4096, 0).decode().startswith(words)
    os.close(said)


def fail(_run: RunDir, _profile: Profile) -> None:
    raise RuntimeError(f"{CUDA}\nCUDA kernel errors might be reported later")


@pytest.fixture
def made(tmp_path: Path) -> RunDir:
    config = RunConfig(
        name="cards",
        model=ModelConfig(path="/base"),
        data=DataConfig(train="/t.jsonl", validation="/v.jsonl"),
        device=DeviceConfig(profile="cpu"),
    )
    return create_run(tmp_path, config)
