"""The doctor's checks of a real tmux."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.hardware.doctor.tmux import Settings, major_minor, read_settings, tmux


class Tmux:
    """A tmux server of its own, which this process seems to run inside."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._environment = os.environ | {"TMUX_TMPDIR": str(folder), "TERM": "xterm-256color"}
        self._environment.pop("TMUX", None)
        self._environment.pop("COLORTERM", None)
        self.run("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "cat")
        socket = self.run("display-message", "-p", "#{socket_path}")
        monkeypatch.setenv("TMUX", f"{socket},1,0")
        self._client: subprocess.Popen[bytes] | None = None
        self._terminals: list[int] = []

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def attach(self) -> None:
        """Shows the session on a terminal, and comes back when tmux says that it does."""
        self.detach()
        self.run("set-hook", "-g", "client-attached", "wait-for -S attached")
        ours, theirs = os.openpty()
        self._terminals = [ours, theirs]
        self._client = subprocess.Popen(
            ["tmux", "attach"],
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.run("wait-for", "attached")

    def detach(self) -> None:
        if self._client is not None:
            self._client.terminate()
            self._client.wait(20)
        for end in self._terminals:
            os.close(end)
        self._client, self._terminals = None, []

    def close(self) -> None:
        self.run("kill-server")
        self.detach()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is needed")
    server = Tmux(tmp_path, monkeypatch)
    yield server
    server.close()


def test_a_tmux_as_it_is_delivered(server: Tmux) -> None:
    server.run("set", "-s", "set-clipboard", "external")
    server.run("set", "-s", "escape-time", "500")
    server.run("set", "-s", "focus-events", "off")
    server.run("set", "-g", "default-terminal", "screen")
    found = {finding.check: finding for finding in tmux()}
    assert found["tmux"].state == "ok"
    assert found["tmux clipboard"].state == "warning"
    assert found["tmux clipboard"].detail.startswith("set-clipboard external: ")
    assert found["tmux escape-time"].detail == "500 ms: the Esc key answers late"
    assert found["tmux focus-events"].state == "info"
    assert found["tmux colours"].state == "warning"


def test_what_is_typed_makes_each_warning_go(server: Tmux) -> None:
    server.run("set", "-g", "default-terminal", "screen")
    server.run("set", "-s", "escape-time", "500")
    server.run("set", "-s", "terminal-features", "")
    server.attach()
    for _ in range(2):
        for finding in tmux():
            if finding.fix is not None:
                command, _, _ = finding.fix.partition("  (")
                server.run(*shlex.split(command)[1:])
        server.attach()
    assert {finding.check: finding.state for finding in tmux()} == dict.fromkeys(
        ("tmux", "tmux clipboard", "tmux escape-time", "tmux focus-events", "tmux colours"), "ok"
    )


def test_a_tmux_that_is_gone_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", f"{tmp_path}/no-socket,1,0")
    (finding,) = tmux()
    assert (finding.check, finding.state) == ("tmux", "info")
    monkeypatch.setenv("PATH", "")
    assert read_settings() is None


@pytest.mark.parametrize(
    ("term", "checks"),
    [("tmux-256color", ["tmux"]), ("screen", ["tmux"]), ("xterm-256color", []), ("", [])],
)
def test_a_tmux_on_the_other_side_of_ssh_is_guessed_by_term(
    monkeypatch: pytest.MonkeyPatch, term: str, checks: list[str]
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", term)
    assert [finding.check for finding in tmux()] == checks


@pytest.mark.parametrize(
    ("version", "expected"),
    [("3.3a", (3, 3)), ("next-3.5", (3, 5)), ("2.9", (2, 9)), ("3.10", (3, 10)), ("", None)],
)
def test_tmux_versions(version: str, expected: tuple[int, int] | None) -> None:
    assert major_minor(version) == expected


def test_an_old_tmux_is_told_of_colours_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = "3.1c|on|10|1|screen-256color|xterm-256color|"
    (tmp_path / "tmux").write_text(f"#!/bin/sh\necho '{answers}'\n")
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMUX", "socket,1,0")
    assert read_settings() == Settings(*answers.split("|"))
    *_, finding = tmux()
    fix = "tmux set -ga terminal-overrides ',xterm-256color:Tc'  (then attach anew)"
    assert (finding.state, finding.fix) == ("info", fix)
