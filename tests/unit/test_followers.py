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


class Told:
    """Hears of deaths."""

    def __init__(self) -> None:
        self.errors: list[KocrError] = []
        self._heard = threading.Semaphore(0)

    def __call__(self, error: KocrError) -> None:
        self.errors.append(error)
        self._heard.release()

    def wait(self) -> None:
        assert self._heard.acquire(timeout=60)


def started(code: str, told: Told, processes: int = 2, patience: float = 60) -> Followers:
    command = [sys.executable, "-c", code]
    return Followers(Path("run"), processes, told, command, patience)


def end_with(error: Exception, leading: Followers, *, after_death: bool = True) -> None:
    with leading:
        if after_death:
            assert leading._died.wait(60)
        raise error


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader's own environment changes."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


DEATHS = [
    (SAYS.format(4), GpuLostError, "process 2 of 2: its words"),
    (SAYS.format(1), KocrError, SENTENCE),
    (SAYS.format(2), KocrError, SENTENCE),
    (
        "import os; os.kill(os.getpid(), 9)",
        KocrError,
        "process 2 of 2 ended with exit status -9; worker.log has its last words; resume goes on "
        "from the last checkpoint",
    ),
]


@pytest.mark.parametrize(("code", "expected", "sentence"), DEATHS)
def test_one_that_dies_is_why_the_leader_ends(
    code: str, expected: type[KocrError], sentence: str
) -> None:
    told = Told()
    with pytest.raises(KocrError) as caught:
        end_with(RuntimeError("Connection closed by peer"), started(code, told))
    assert (type(caught.value), str(caught.value)) == (expected, sentence)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert told.errors == []


@pytest.mark.parametrize(("code", "expected", "sentence"), DEATHS)
def test_a_leader_that_is_stuck_hears_of_it_from_another_thread(
    code: str, expected: type[KocrError], sentence: str
) -> None:
    told = Told()
    with started(code, told, patience=0):
        told.wait()
    assert [(type(error), str(error)) for error in told.errors] == [(expected, sentence)]


def test_a_lost_card_is_the_reason_though_another_process_died_of_it_first() -> None:
    code = """
import os, signal, sys
from core.train.followers import leave_word
first = os.environ["RANK"] == "1"
if not first:
    os.kill(os.getpid(), signal.SIGSTOP)
leave_word("its words")
sys.exit(1 if first else 4)
"""
    told = Told()
    with started(code, told, processes=3, patience=0) as block:
        told.wait()
        # Waits until the second has stopped itself.
        os.waitid(os.P_PID, block._started[1].pid, os.WSTOPPED | os.WNOWAIT)
        block._started[1].send_signal(signal.SIGCONT)
        told.wait()
    assert [type(error) for error in told.errors] == [KocrError, GpuLostError]


def test_a_death_that_comes_in_after_the_error_it_led_to_is_the_reason() -> None:
    """The kernel closes a dead process's connections before it tells of its end."""
    leading = started(SAYS.format(4), Told())
    with pytest.raises(GpuLostError, match="its words"):
        end_with(RuntimeError("Connection closed by peer"), leading, after_death=False)


def test_the_leaders_own_end_is_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoppedError):
        end_with(StoppedError("stopped on request"), started(SAYS.format(1), Told()))
    monkeypatch.setattr(followers, "context_is_lost", lambda: True)
    with pytest.raises(RuntimeError, match="CUDA error: unknown error"):
        end_with(RuntimeError("CUDA error: unknown error"), started(SAYS.format(1), Told()))


def test_all_are_gone_at_the_end_and_nobody_asks_why() -> None:
    told = Told()
    with started(STAYS, told, processes=3, patience=0) as block:
        assert [process.poll() for process in block._started] == [None, None]
    assert [process.returncode for process in block._started] == [-signal.SIGKILL] * 2
    assert told.errors == []


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
