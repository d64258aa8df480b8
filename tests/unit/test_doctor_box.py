"""The doctor's checks of disks, memory, logging out and Windows, on pretended file systems."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.hardware.doctor import Finding, box


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("free", "state"), [(100, "ok"), (19.9, "warning"), (1.9, "failure"), (20.0, "ok")]
)
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    usage = SimpleNamespace(free=int(free * 2**30))
    monkeypatch.setattr(shutil, "disk_usage", {tmp_path: usage}.__getitem__)
    assert box.disk(tmp_path / "not" / "yet").state == state


def test_a_home_that_is_a_file_cannot_hold_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = box.disk(tmp_path / "file" / "runs")
    assert finding.state == "failure"
    assert finding.detail == f"{tmp_path}/file/runs cannot be written to"


def test_the_feature_cache_may_be_on_another_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, features = tmp_path / "runs", tmp_path / "features"
    runs.mkdir()
    shared = Path("/dev/shm")
    free = {runs: 100, features: 19, tmp_path: 20, shared: 20}
    usage = {folder: SimpleNamespace(free=size * 2**30) for folder, size in free.items()}
    monkeypatch.setattr(shutil, "disk_usage", usage.__getitem__)
    same = box.feature_disk(features, runs, 20)
    assert same == Finding("feature cache", "ok", "20.0 GiB free on the same disk")
    features.mkdir()
    small = box.feature_disk(features, runs, 20)
    assert small.state == "warning"
    assert small.detail.startswith("19.0 GiB free on the same disk, 20 GiB may be needed: without")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    other = box.feature_disk(shared / "no/such/features", runs, 20)
    assert other.detail == "20.0 GiB free in /dev/shm/no/such/features"


def test_a_feature_cache_that_cannot_be_made_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = box.feature_disk(tmp_path / "file" / "features", tmp_path, 20)
    assert (finding.state, finding.fix) == ("warning", "export KOCR_HOME=/a/larger/disk")


def test_ram_follows_the_tighter_of_machine_and_container(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", f"MemTotal: 1 kB\nMemAvailable: {30 * 2**20} kB\n")
    assert box.ram(tmp_path) == Finding("RAM", "ok", "30.0 GiB free")
    write(tmp_path, "sys/fs/cgroup/memory.max", f"{10 * 2**30}\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", f"{8 * 2**30}\n")
    write(tmp_path, "sys/fs/cgroup/memory.stat", f"anon 5\ninactive_file {2**30}\n")
    tight = box.ram(tmp_path)
    assert tight.state == "warning"
    assert tight.detail.startswith("3.0 GiB free")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert box.ram(tmp_path).state == "ok"
    assert box.ram(tmp_path / "nowhere").state == "warning"


def test_windows_around_linux_is_warned_of() -> None:
    assert list(box.wsl(False)) == []
    (finding,) = box.wsl(True)
    assert (finding.check, finding.state) == ("WSL", "warning")
    assert "host memory instead of failing" in finding.detail


def test_logind_files_are_read_in_its_order(tmp_path: Path) -> None:
    assert not box.configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n")
    assert not box.configured_to_kill(tmp_path)
    write(tmp_path, "usr/lib/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n")
    assert not box.configured_to_kill(tmp_path), "the file in /etc stands instead"
    write(tmp_path, "usr/lib/systemd/logind.conf.d/50-kill.conf", "KillUserProcesses = yes\n")
    assert box.configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf.d/60-keep.conf", "KillUserProcesses=no\n")
    assert not box.configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf.d/60-keep.conf", "")
    write(tmp_path, "etc/systemd/logind.conf.d/50-kill.conf", "KillUserProcesses=no\n")
    assert not box.configured_to_kill(tmp_path), "the same name in /etc hides the other"


@pytest.mark.parametrize(
    ("answers", "uid", "state"),
    [
        ({"KillUserProcesses": "no"}, 1000, "ok"),
        ({"KillUserProcesses": "yes", "Linger": "no"}, 1000, "warning"),
        ({"KillUserProcesses": "yes", "Linger": "yes"}, 1000, "ok"),
        ({"KillUserProcesses": "yes", "Linger": "no"}, 0, "ok"),
        ({}, 1000, "warning"),
    ],
)
def test_logout(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, str],
    uid: int,
    state: str,
) -> None:
    write(tmp_path, "etc/systemd/logind.conf", "KillUserProcesses=yes\n")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(box, "loginctl", lambda key, *user: answers.get(key, ""))
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    finding = box.logout(tmp_path)
    assert finding.state == state
    if state == "warning":
        assert finding.fix == "sudo loginctl enable-linger $USER"


def test_a_box_without_systemd_ends_nothing(tmp_path: Path) -> None:
    assert box.logout(tmp_path).state == "ok"
