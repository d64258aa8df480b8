"""What tmux lets through, where the console runs inside it."""

import os
import re
import subprocess
from collections.abc import Iterator

import msgspec

from core.hardware.doctor.finding import Finding

ESCAPE_MS = 100
_FORMAT = "|".join(
    f"#{{{name}}}"
    for name in (
        "version",
        "set-clipboard",
        "escape-time",
        "focus-events",
        "default-terminal",
        "client_termname",
        "client_termfeatures",
    )
)


class Settings(msgspec.Struct, frozen=True):
    """What the tmux server answers; an older one leaves empty what it does not know.

    ``escape_time`` is in milliseconds; ``client`` is the name of the terminal outside, and
    ``features`` what tmux believes of it, separated by commas.
    """

    version: str
    clipboard: str
    escape_time: str
    focus_events: str
    terminal: str
    client: str
    features: str


def tmux() -> Iterator[Finding]:
    """The settings that the console feels, with the command that changes each now."""
    if not os.environ.get("TMUX"):
        yield from _outside(os.environ.get("TERM", ""))
        return
    settings = read_settings()
    if settings is None:
        yield Finding("tmux", "info", "runs, but does not tell its settings", "tmux -V")
        return
    yield Finding("tmux", "ok", f"version {settings.version or 'unknown'}")
    yield _clipboard(settings)
    yield _escape(settings)
    yield _focus(settings)
    yield _colours(settings)


def read_settings() -> Settings | None:
    """What the server of this terminal says; None where it does not answer."""
    command = ["tmux", "display-message", "-p", _FORMAT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    answers = done.stdout.rstrip("\n").split("|")
    complete = done.returncode == 0 and len(answers) == len(Settings.__struct_fields__)
    return Settings(*answers) if complete else None


def _outside(kind: str) -> Iterator[Finding]:
    """A terminal of tmux without tmux here is that of the other end of SSH."""
    if kind.split("-", maxsplit=1)[0] in ("tmux", "screen"):
        detail = "on your side of SSH, by TERM; what it lets through can't be read from here"
        yield Finding("tmux", "info", detail, "tmux set -s set-clipboard on  (on your side)")


def _clipboard(settings: Settings) -> Finding:
    check, now = "tmux clipboard", f"set-clipboard {settings.clipboard or 'unknown'}"
    if settings.clipboard == "on":
        return Finding(check, "ok", now)
    detail = f"{now}: what the console copies does not reach your clipboard"
    return Finding(check, "warning", detail, "tmux set -s set-clipboard on")


def _escape(settings: Settings) -> Finding:
    check, now = "tmux escape-time", f"{settings.escape_time or '?'} ms"
    if settings.escape_time.isdecimal() and int(settings.escape_time) > ESCAPE_MS:
        detail = f"{now}: the Esc key answers late"
        return Finding(check, "warning", detail, "tmux set -s escape-time 10")
    return Finding(check, "ok", now)


def _focus(settings: Settings) -> Finding:
    check = "tmux focus-events"
    if settings.focus_events in ("1", "on"):
        return Finding(check, "ok", "on")
    detail = "off: the console can't see whether you look at it"
    return Finding(check, "info", detail, "tmux set -s focus-events on")


def _colours(settings: Settings) -> Finding:
    check, name = "tmux colours", settings.terminal
    if not name.endswith("256color"):
        detail = f"default-terminal {name or 'unknown'} shows few colours"
        fix = "tmux set -g default-terminal tmux-256color  (for new windows)"
        return Finding(check, "warning", detail, fix)
    if not settings.client:
        return Finding(check, "info", f"{name}; no terminal is attached to tell more")
    if "RGB" in settings.features.split(","):
        return Finding(check, "ok", f"{name}, 16 million")
    detail = f"{name}; tmux takes 256 of 16 million colours to {settings.client}"
    if (major_minor(settings.version) or (0, 0)) < (3, 2):
        fix = f"tmux set -ga terminal-overrides ',{settings.client}:Tc'  (then attach anew)"
    else:
        fix = f"tmux set -as terminal-features ',{settings.client}:RGB'  (then attach anew)"
    return Finding(check, "info", detail, fix)


def major_minor(version: str) -> tuple[int, int] | None:
    """``3.3a`` and ``next-3.4`` as numbers; None for others, such as OpenBSD's."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
