"""What every test of the console needs: a fixed time zone and folders of its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from plan_reports import PROVED

from kocr_tui.actions import use_ascii_labels, use_keys


@pytest.fixture(autouse=True)
def _one_zone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOCR_CONFIG", str(tmp_path / "config"))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def _planned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that is opened in passing must not start a planner, which takes seconds."""
    monkeypatch.setattr("core.launch.plan", lambda *_asked, **_options: PROVED)
    monkeypatch.setattr("kocr_tui.reading.live_plan.SETTLE_SECONDS", 0.05)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def leave_room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much is free on every disk (bytes); at first there is plenty."""

    def leave(free: int) -> None:
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr("kocr_tui.reading.surroundings.disk_usage", lambda _path: usage)

    leave(10**12)
    return leave


@pytest.fixture(autouse=True)
def _much_room(leave_room: Callable[[int], None]) -> None:
    """So that a full disk of the box under test is no news in its pictures."""


@pytest.fixture(autouse=True)
def _own_keys() -> None:
    """Keys and labels as they are shipped, whatever an earlier test has chosen."""
    use_keys({})
    use_ascii_labels(False)
