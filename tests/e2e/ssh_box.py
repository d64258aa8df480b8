"""The console over a real ssh: an sshd of the tests' own, and terminals in a tmux of their own."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

SSHD = "/usr/sbin/sshd"
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 240.0
PROMPT = "far $ "
_TICK = threading.Event()
_TICK_SECONDS = 0.1
_STEP = re.compile(r"step ([\d,]+)/")


def what_is_missing() -> str:
    """Why there can be no ssh here, empty where there can."""
    missing = [name for name in ("ssh", "ssh-keygen", "tmux") if shutil.which(name) is None]
    if not Path(SSHD).exists():
        missing.append(SSHD)
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Door:
    """A running sshd, and the key that opens it."""

    port: int
    key: Path

    def ssh(self, *options: str) -> list[str]:
        """An ssh command line that lacks only what to run there."""
        return [
            *("ssh", *options, "-C", "-p", str(self.port), "-i", str(self.key)),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-F", "/dev/null"),
            "127.0.0.1",
        ]

    def status(self, home: Path) -> dict[str, Any]:
        """What ``kocr-tui status --json`` says on the far side."""
        command = f"KOCR_HOME={shlex.quote(str(home))} kocr-tui status --json"
        done = subprocess.run(
            [*self.ssh(), command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def until_status(self, home: Path, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Asks for the status over and over until the condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(found := self.status(home)):
            assert time.monotonic() < deadline, found


@contextmanager
def open_door(folder: Path) -> Iterator[Door]:
    """Runs an sshd on a free port of the loopback until the block ends."""
    for name in ("host", "user"):
        key = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        subprocess.run(key, check=True)
    port = _free_port()
    config, log = folder / "sshd_config", folder / "sshd.log"
    config.write_text(_sshd_config(folder, port), encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with log.open("wb") as out:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=out
        )
    try:
        _until(lambda: "listening" in log.read_text() or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        yield Door(port, folder / "user")
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _sshd_config(folder: Path, port: int) -> str:
    """No PAM, no files of the user's own; the session's environment has what tests need."""
    command = folder / "bin" / "kocr-tui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m kocr_tui.cli "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{command.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
    }
    settings = (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host'}",
        f"PidFile {folder / 'sshd.pid'}",
        f"AuthorizedKeysFile {folder / 'user.pub'}",
        "UsePAM no",
        "StrictModes no",
        "PasswordAuthentication no",
        "PrintMotd no",
        "PrintLastLog no",
        "SetEnv " + " ".join(f"{name}={value}" for name, value in environment.items()),
    )
    return "\n".join(settings) + "\n"


@dataclass
class Terminal:
    """One window of a local tmux; ``presses`` counts the keys pressed in it."""

    tmux: list[str]
    pane: str
    presses: int = 0

    def press(self, *keys: str) -> None:
        """Presses keys, by tmux's names of them."""
        self.presses += len(keys)
        _run([*self.tmux, "send-keys", "-t", self.pane, *keys])

    def type_line(self, text: str) -> None:
        """Types a command line at a shell's prompt."""
        _run([*self.tmux, "send-keys", "-t", self.pane, "-l", text])
        _run([*self.tmux, "send-keys", "-t", self.pane, "Enter"])

    def screen(self) -> str:
        """What is on the screen."""
        return _run([*self.tmux, "capture-pane", "-p", "-t", self.pane])

    def step(self) -> int:
        """The step that the run's header shows, -1 without one."""
        found = _STEP.search(self.screen())
        return int(found[1].replace(",", "")) if found else -1

    def until_screen(self, *texts: str) -> str:
        """Waits until all texts are on the screen, and returns the screen."""
        return self.until(lambda: all(text in self.screen() for text in texts), f"no {texts}")

    def until_line(self, pattern: str) -> None:
        """Waits until a line on the screen has a match of a regular expression."""
        self.until(lambda: re.search(pattern, self.screen()) is not None, f"no {pattern}")

    def until_step(self, least: int) -> int:
        """Waits until the header shows that step or a later one, and returns which."""
        self.until(lambda: self.step() >= least, f"no step {least}")
        return self.step()

    def until(self, condition: Callable[[], bool], otherwise: str) -> str:
        """Waits for a condition, and returns the screen; fails with what the screen shows."""
        _until(condition, lambda: f"{otherwise}:\n{self.screen()}")
        return self.screen()

    def kill(self) -> None:
        """Kills the window's process (the ssh client) as a lost connection would."""
        shown = _run([*self.tmux, "display-message", "-p", "-t", self.pane, "#{pane_pid}"])
        os.kill(int(shown), signal.SIGKILL)


@dataclass
class Desk:
    """A local tmux server of its own, whose terminals are all in ssh sessions."""

    door: Door
    name: str
    home: Path

    @property
    def _tmux(self) -> list[str]:
        return ["tmux", "-u", "-L", self.name, "-f", "/dev/null"]

    def shell(self, width: int = 120, height: int = 40) -> Terminal:
        """A new terminal, logged in through ssh, at the prompt of a plain shell."""
        far = f"KOCR_HOME={shlex.quote(str(self.home))} PS1={shlex.quote(PROMPT)} ENV= exec sh"
        size = ("-x", str(width), "-y", str(height))
        wanted = ("-d", "-P", "-F", "#{pane_id}", *size, *self.door.ssh("-tt"), far)
        pane = _run(
            [
                *self._tmux,
                *("set-option", "-g", "default-terminal", "tmux-256color", ";"),
                *("set-option", "-g", "status", "off", ";"),
                *("set-option", "-g", "remain-on-exit", "on", ";"),
                *("new-session", *wanted),
            ]
        )
        terminal = Terminal(self._tmux, pane.strip())
        terminal.until_screen(PROMPT.strip())
        return terminal

    def consoles(self) -> list[int]:
        """The process ids of the consoles on the far side that look at this home."""
        return [process.pid for process in psutil.process_iter() if self._is_console(process)]

    def _is_console(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            ours = process.environ().get("KOCR_HOME") == str(self.home)
            return ours and "kocr_tui.cli" in process.cmdline()
        return False

    def until_no_console(self) -> None:
        """Waits until no console is left: a lost connection must end its console."""
        _until(lambda: not self.consoles(), lambda: f"still there: {self.consoles()}")

    def close(self) -> None:
        """Ends the server and with it all connections."""
        with suppress(subprocess.CalledProcessError):
            _run([*self._tmux, "kill-server"])


def _run(command: list[str]) -> str:
    environment = {name: text for name, text in os.environ.items() if name != "TMUX"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"LANG": "C.UTF-8"},
        timeout=PATIENCE_SECONDS,
    )
    return done.stdout


def _until(condition: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, why()
        _TICK.wait(_TICK_SECONDS)
