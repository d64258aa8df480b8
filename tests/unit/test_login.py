"""A scope of its own for the worker, where systemd has one to give."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import login

SCOPE = ["--user", "--scope", "--quiet", "--collect", "--"]


def fake(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fake(tmp_path, "loginctl", "echo yes")
    return tmp_path


def test_the_command_runs_in_place_with_its_pipes(programs: Path) -> None:
    asked = programs / "asked"
    fake(programs, "systemd-run", f'echo "$@" > {asked}; shift 5; exec "$@"')
    scope = login.scope_of_own(programs / "log")
    reading, writing = os.pipe()
    said = f"import os; os.write({writing}, str(os.getpid()).encode())"
    command = [*scope, sys.executable, "-c", said]
    with subprocess.Popen(command, pass_fds=[writing]) as process:
        os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read().strip() == str(process.pid)
    assert asked.read_text().split()[:5] == SCOPE
    assert not (programs / "log").exists()


def test_no_bus_is_told_in_the_log(programs: Path) -> None:
    fake(programs, "systemd-run", "echo 'Failed to connect to bus' >&2; exit 1")
    assert login.scope_of_own(programs / "log") == ()
    assert "Failed to connect to bus" in (programs / "log").read_text()


def test_who_does_not_linger_stays_in_the_session(programs: Path) -> None:
    fake(programs, "loginctl", "echo no")
    fake(programs, "systemd-run", "exit 0")
    assert login.scope_of_own(programs / "log") == ()
