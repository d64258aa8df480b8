"""Processes that part of the work is done in die with the one that started them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from core.child import child_environment, environment_alone
from core.train import follower
from core.train.cards import trial
from core.tune import probe

CHILD = """
import os, threading
from core.child import die_with_parent
die_with_parent()
print(os.getpid(), flush=True)
threading.Event().wait()
"""
PARENT = f"""
import subprocess, sys, threading
from core.child import environment_alone
subprocess.Popen([sys.executable, "-c", {CHILD!r}], env=environment_alone())
threading.Event().wait()
"""


def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    try:
        # The pipe ends once the child, too, is gone.
        parent.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child lives on")


def test_a_process_that_nobody_bound_lives_by_itself() -> None:
    code = "from core.child import die_with_parent; die_with_parent(); print('lives')"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"lives\n"


def test_only_one_that_works_alone_has_no_launchers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert child_environment()["RANK"] == "0"
    assert "RANK" not in environment_alone()


@pytest.mark.parametrize(
    ("main", "arguments"),
    [(trial.main, ["cpu", "1"]), (probe.main, ["none", "none"]), (follower.main, ["none"])],
    ids=["trial", "probe", "follower"],
)
def test_each_that_takes_a_card_is_gone_if_its_parent_is_gone_before_it_begins(
    main: Callable[[list[str]], int], arguments: list[str]
) -> None:
    # What a process that is no parent of the fork would have given it.
    bound = child_environment() | {"KOCR_PARENT": str(os.getppid())}
    child = os.fork()
    if child == 0:
        try:
            os.environ.update(bound)
            main(arguments)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
