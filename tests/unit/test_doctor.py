"""The doctor's checks, on pretended boxes and pretended file systems."""

import os
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from fake_nvml import build, run

from core.hardware import doctor
from core.hardware.doctor import MATMUL, NF4, VARLEN, Finding
from core.hardware.nvml import Card

EXAMINE = (
    "import msgspec; from core.hardware.doctor import examine;"
    "print(msgspec.json.encode(examine()).decode())"
)
CARD = Card(
    index=0,
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4090",
    total_bytes=24564 * 2**20,
    free_bytes=23 * 2**30,
    cuda_version="12.8",
    compute_capability=(8, 9),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def examine(library: Path, box: str, **environment: str) -> dict[str, Finding]:
    out = run(library, box, EXAMINE, **environment)
    findings = msgspec.json.decode(out, type=list[Finding])
    assert len({finding.check for finding in findings}) == len(findings)
    for finding in findings:
        assert "\n" not in finding.detail
        assert finding.detail
    return {finding.check: finding for finding in findings}


def test_a_box_with_a_4090_and_a_desktop(library: Path) -> None:
    found = examine(library, "desktop4090")
    assert found["GPU"] == Finding(
        "GPU",
        "ok",
        "NVIDIA GeForce RTX 4090, 23.2 GiB of 24.0 GiB free, driver 570.133.07 (CUDA 12.8)",
    )
    assert found["profile"] == Finding("profile", "ok", "rtx4090: 23.5 GiB, 1.7 left free")
    others = found["other processes"]
    assert others.state == "warning"
    assert "4242 python3.11 (9.0 GiB), 1700 Xorg (0.4 GiB), 999 ? (? GiB)" in others.detail
    assert others.fix == "kill 4242 999  (only if they are yours)"
    assert found["Python"].state == "ok"


def test_a_box_without_a_driver_is_honest_about_it(library: Path) -> None:
    found = examine(library, "not_loaded")
    assert found["GPU"] == Finding(
        "GPU",
        "warning",
        "no GPU: the NVIDIA driver is installed but not loaded",
        "sudo modprobe nvidia (or reboot)",
    )
    assert found["GPU trials"].state == "warning"
    assert found["GPU trials"].detail.startswith("no GPU")
    assert "other processes" not in found


def test_hidden_unknown_and_lost_cards(library: Path, tmp_path: Path) -> None:
    hidden = examine(library, "two", CUDA_VISIBLE_DEVICES="")["GPU"]
    assert hidden.fix == "unset CUDA_VISIBLE_DEVICES"
    assert examine(library, "lost")["GPU"] == Finding(
        "GPU", "failure", "GPU 0 no longer answers", "sudo reboot"
    )
    two = examine(library, "two", CUDA_VISIBLE_DEVICES="1")
    assert two["profile"].detail.startswith("a100-80gb")
    assert two["GPU order"].fix == "export CUDA_DEVICE_ORDER=PCI_BUS_ID"
    ordered = examine(library, "two", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert "GPU order" not in ordered


def test_a_broken_profile_of_the_user_is_named(library: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text("name = 3")
    found = examine(library, "desktop4090", KOCR_CONFIG=str(tmp_path))["profile"]
    assert found.state == "failure"
    assert "mine.toml: " in found.detail


def test_examining_imports_no_torch(library: Path) -> None:
    code = "import sys; from core.hardware.doctor import examine; examine();"
    code += "print({'torch', 'numpy'} & set(sys.modules))"
    assert run(library, "not_loaded", code) == "set()\n"


def test_versions_are_held_against_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["torch>=99", "textual>=8.0", "peft>=0.1", "pytest; extra == 'dev'"]
    fields = {"Requires-Dist": wanted, "Requires-Python": [">=3.99"]}
    monkeypatch.setattr(doctor, "_metadata", fields.__getitem__)

    def version(name: str) -> str:
        if name == "peft":
            raise metadata.PackageNotFoundError(name)
        return {"torch": "2.13.0+cpu", "textual": "8.2.8"}.get(name, "1.0")

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.check: finding for finding in doctor._packages()}
    assert found["torch"].detail == "2.13.0+cpu, but >=99 is needed"
    assert found["torch"].fix == "pip install 'torch>=99'"
    assert found["textual"] == Finding("textual", "ok", "8.2.8")
    assert (found["peft"].state, found["peft"].detail) == ("failure", "not installed")
    assert "installation" not in found
    assert doctor._python().state == "failure"


def test_without_metadata_versions_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    found = {finding.check: finding for finding in doctor._packages()}
    assert found["installation"].state == "warning"
    assert found["textual"].state == "ok"


@pytest.mark.parametrize(
    ("cuda", "card", "state", "words"),
    [
        ("None", None, "ok", "for the CPU"),
        ("None", CARD, "failure", "cannot use the NVIDIA GeForce RTX 4090"),
        ("'12.8'", None, "ok", "for CUDA 12.8"),
        ("'12.9'", CARD, "ok", "for CUDA 12.9"),
        ("'13.0'", CARD, "failure", "but the driver runs CUDA 12.8 at most"),
    ],
)
def test_the_torch_build_against_the_card(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str,
    card: Card | None,
    state: str,
    words: str,
) -> None:
    (tmp_path / "version.py").write_text(f"debug = False\ncuda: Optional[str] = {cuda}\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(doctor, "find_spec", lambda name: spec)
    finding = doctor._torch_build(card)
    assert finding.state == state
    assert words in finding.detail


def test_trials_run_in_a_child_and_report_what_it_raised() -> None:
    good = doctor._trial("t", MATMUL, "bfloat16", "failure", None, "cpu")
    assert good == Finding("t", "ok", "works")
    bad = doctor._trial("t", "raise ValueError('no {dtype}')", "float16", "warning", None)
    assert (bad.state, bad.detail) == ("warning", "ValueError: no float16")


def test_the_nf4_trial_passes_on_the_cpu() -> None:
    assert doctor._trial("t", NF4, "bfloat16", "warning", None, "cpu").state == "ok"


def test_a_trial_that_hangs_or_dies_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TRIAL_LIMIT_S", 1)
    slow = doctor._trial("t", "import time; time.sleep(60)", "float16", "failure", None)
    assert (slow.state, slow.detail) == ("failure", "no answer within 1 s")
    dead = doctor._trial("t", "import os; os.abort()", "float16", "failure", None)
    assert dead.detail == "the trial ended with code -6"


def test_trials_follow_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str, str, str | None]] = []

    def trial(check: str, code: str, dtype: str, worst: str, uuid: str | None) -> Finding:
        calls.append((code, dtype, worst, uuid))
        return Finding(check, "ok", "works")

    monkeypatch.setattr(doctor, "_trial", trial)
    build_ok = Finding("torch build", "ok", "for CUDA 12.8")
    assert len(list(doctor._trials(CARD, build_ok))) == 3
    assert calls == [
        (MATMUL, "bfloat16", "failure", "GPU-1"),
        (NF4, "bfloat16", "warning", "GPU-1"),
        (VARLEN, "bfloat16", "warning", "GPU-1"),
    ]
    calls.clear()
    old = msgspec.structs.replace(CARD, compute_capability=(7, 5))
    names = [finding.check for finding in doctor._trials(old, build_ok)]
    assert names == ["float16 on the card", "NF4 weights", "varlen attention"]
    assert [dtype for _, dtype, _, _ in calls] == ["float16", "float16"]
    calls.clear()
    full = msgspec.structs.replace(CARD, free_bytes=2**29)
    (finding,) = doctor._trials(full, build_ok)
    assert finding.detail == "not tried: only 0.5 GiB free on the card"
    (finding,) = doctor._trials(CARD, Finding("torch build", "failure", "for the CPU"))
    assert finding.detail == "not tried: for the CPU"
    assert calls == []


@pytest.mark.parametrize(
    ("free", "state"), [(100, "ok"), (19.9, "warning"), (1.9, "failure"), (20.0, "ok")]
)
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    usage = SimpleNamespace(free=int(free * 2**30))
    monkeypatch.setattr(shutil, "disk_usage", {tmp_path: usage}.__getitem__)
    assert doctor._disk(tmp_path / "not" / "yet").state == state


def test_a_home_that_is_a_file_cannot_hold_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert doctor._disk(tmp_path / "file" / "runs").state == "failure"


def test_the_disk_of_the_runs_folder_is_looked_at(library: Path, tmp_path: Path) -> None:
    found = examine(library, "not_loaded", KOCR_HOME=str(tmp_path))
    assert found["disk"].detail.endswith(f"free for runs at {tmp_path}/runs")


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_ram_follows_the_tighter_of_machine_and_container(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", f"MemTotal: 1 kB\nMemAvailable: {30 * 2**20} kB\n")
    assert doctor._ram(tmp_path) == Finding("RAM", "ok", "30.0 GiB free")
    write(tmp_path, "sys/fs/cgroup/memory.max", f"{10 * 2**30}\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", f"{8 * 2**30}\n")
    write(tmp_path, "sys/fs/cgroup/memory.stat", f"anon 5\ninactive_file {2**30}\n")
    tight = doctor._ram(tmp_path)
    assert tight.state == "warning"
    assert tight.detail.startswith("3.0 GiB free")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert doctor._ram(tmp_path).state == "ok"
    assert doctor._ram(tmp_path / "nowhere").state == "warning"


def test_logind_files_are_read_in_its_order(tmp_path: Path) -> None:
    assert not doctor._configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n")
    assert not doctor._configured_to_kill(tmp_path)
    write(tmp_path, "usr/lib/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n")
    assert not doctor._configured_to_kill(tmp_path), "the file in /etc stands instead"
    write(tmp_path, "usr/lib/systemd/logind.conf.d/50-kill.conf", "KillUserProcesses = yes\n")
    assert doctor._configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf.d/60-keep.conf", "KillUserProcesses=no\n")
    assert not doctor._configured_to_kill(tmp_path)
    write(tmp_path, "etc/systemd/logind.conf.d/60-keep.conf", "")
    write(tmp_path, "etc/systemd/logind.conf.d/50-kill.conf", "KillUserProcesses=no\n")
    assert not doctor._configured_to_kill(tmp_path), "the same name in /etc hides the other"


@pytest.mark.parametrize(
    ("answers", "uid", "state"),
    [
        ({"KillUserProcesses": "no"}, 1000, "ok"),
        ({"KillUserProcesses": "yes", "Linger": "no"}, 1000, "warning"),
        ({"KillUserProcesses": "yes", "Linger": "yes"}, 1000, "warning"),
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
    monkeypatch.setattr(doctor, "_loginctl", lambda key, *user: answers.get(key, ""))
    monkeypatch.setattr(os, "getuid", lambda: uid)
    finding = doctor._logout(tmp_path)
    assert finding.state == state
    if state == "warning":
        assert finding.fix is not None
        assert finding.fix.endswith("systemd-run --user --scope kocr-tui")
        lingers = answers.get("Linger") == "yes"
        assert ("enable-linger" in finding.fix) == (not lingers)


def test_a_box_without_systemd_ends_nothing(tmp_path: Path) -> None:
    assert doctor._logout(tmp_path).state == "ok"


@pytest.mark.parametrize(
    ("term", "size", "state"),
    [
        ("tmux-256color", (120, 40), "ok"),
        ("xterm-256color", (79, 40), "warning"),
        ("xterm-256color", (80, 23), "warning"),
        ("dumb", (120, 40), "failure"),
        ("", (120, 40), "failure"),
    ],
)
def test_terminal(
    monkeypatch: pytest.MonkeyPatch, term: str, size: tuple[int, int], state: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setattr(os, "get_terminal_size", lambda fd=1: os.terminal_size(size))
    finding = next(doctor._terminal())
    assert finding.state == state
    assert ", in tmux" in finding.detail


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ok"),
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "warning"),
        ({"LC_ALL": "", "LC_CTYPE": "en_US.utf8"}, "ok"),
        ({}, "warning"),
    ],
)
def test_locale(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], state: str) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    *_, finding = doctor._terminal()
    assert (finding.check, finding.state) == ("locale", state)
