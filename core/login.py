"""Whether work outlives its user's login, and the systemd scope that sees to it."""

import os
import shutil
import subprocess
from pathlib import Path

_SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--")
_PATIENCE_SECONDS = 5.0


def scope_of_own(log: Path) -> tuple[str, ...]:
    """What to put before a command so that it runs in a systemd scope of its own.

    Empty where there is no systemd-run, where it fails, which is told in ``log``, and where the
    user doesn't linger: the user's manager then ends at logout with all of its scopes, while a
    process of the session goes on unless logind.conf has KillUserProcesses=yes.
    """
    if shutil.which(_SCOPE[0]) is None or loginctl("Linger", str(os.getuid())) != "yes":
        return ()
    problem = _problem()
    if problem is None:
        return _SCOPE
    with log.open("a", encoding="utf-8") as file:
        file.write(
            f"systemd-run --user can't be used ({problem}): the worker is in a session of its own "
            "instead, and ends at logout where logind.conf has KillUserProcesses=yes\n"
        )
    return ()


def _problem() -> str | None:
    try:
        tried = subprocess.run(
            [*_SCOPE, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = tried.stderr.strip().splitlines()
    return None if tried.returncode == 0 else (said[-1] if said else f"exit {tried.returncode}")


def loginctl(key: str, *user: str) -> str:
    """A property of logind, or of ``user``; empty where it does not answer."""
    command = ["loginctl", "show-user", *user, "--value", f"--property={key}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
