"""What every test of the console needs: a fixed time zone and folders of its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _one_zone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOCR_CONFIG", str(tmp_path / "config"))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"
