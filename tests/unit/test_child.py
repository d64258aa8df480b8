"""Processes that a part of the work is done in die with the one that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.child import child_command, child_environment, environment_alone
from core.train.cards.check import TRIAL
from core.train.followers import FOLLOWER
from core.tune.run_probe import PROBE

WAITS = """
import os, sys, threading
print(os.getpid(), sys.argv[1:], flush=True)
if __name__ == "__main__" and "end" not in sys.argv:
    threading.Event().wait()
"""
PARENT = """
import subprocess, threading
from core.child import child_command, environment_alone
subprocess.Popen([*child_command("waits"), "word"], env=environment_alone())
threading.Event().wait()
"""


@pytest.fixture
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of that name, which tells its process id and arguments and waits."""
    (tmp_path / "waits.py").write_text(WAITS)
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.mark.usefixtures("waits")
def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, said = parent.stdout.readline().strip().split(maxsplit=1)
    assert said == "['word']"
    parent.kill()
    try:
        # The pipe ends once the child, too, is gone.
        parent.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.kill(int(child), signal.SIGKILL)
        pytest.fail("the child lives on")


@pytest.mark.usefixtures("waits")
def test_one_that_nobody_bound_lives_by_itself() -> None:
    command = [*child_command("waits"), "end"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.endswith("['end']\n")


@pytest.mark.parametrize("command", [TRIAL, PROBE, FOLLOWER])
def test_each_that_takes_a_card_is_gone_if_its_parent_is_gone_before_it_begins(
    command: tuple[str, ...],
) -> None:
    # What a process that didn't start it would have given it.
    environment = child_environment() | {"KOCR_PARENT": str(os.getppid())}
    done = subprocess.run([*command, "none"], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def test_only_one_that_works_alone_has_no_launchers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert child_environment()["RANK"] == "0"
    assert "RANK" not in environment_alone()
