"""The doctor's checks of packages and the torch build, and its trials in child processes."""

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from core.hardware.doctor import Finding, software, trials
from core.hardware.doctor.trials import MATMUL, NF4, VARLEN
from core.hardware.nvml import Card

CARD = Card(
    index=0,
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4090",
    total_bytes=24564 * 2**20,
    free_bytes=23 * 2**30,
    cuda_version="12.8",
    compute_capability=(8, 9),
)


def test_versions_are_held_against_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["torch>=99", "textual>=8.0", "peft>=0.1", "pytest; extra == 'dev'"]
    fields = {"Requires-Dist": wanted, "Requires-Python": [">=3.99"]}
    monkeypatch.setattr(software, "_metadata", fields.__getitem__)

    def version(name: str) -> str:
        if name == "peft":
            raise metadata.PackageNotFoundError(name)
        return {"torch": "2.13.0+cpu", "textual": "8.2.8"}.get(name, "1.0")

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.check: finding for finding in software.packages()}
    assert found["torch"].detail == "2.13.0+cpu, but >=99 is needed"
    assert found["torch"].fix == "pip install 'torch>=99'"
    assert found["textual"] == Finding("textual", "ok", "8.2.8")
    assert (found["peft"].state, found["peft"].detail) == ("failure", "not installed")
    assert "installation" not in found
    assert software.python().state == "failure"


def test_without_metadata_versions_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "DISTRIBUTION", "no-such-distribution")
    found = {finding.check: finding for finding in software.packages()}
    assert found["installation"].state == "warning"
    assert found["textual"].state == "ok"


def test_compilers_and_triton_are_information(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", {"triton": "3.5.0"}.__getitem__)
    (tmp_path / "gcc").write_text("#!/bin/sh\n")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    detail = "Triton 3.5.0, gcc; training needs neither"
    assert software.compiler() == Finding("compiler", "info", detail)


def test_a_box_without_compilers_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setenv("PATH", "")
    detail = "no Triton, no compiler; training needs neither"
    assert software.compiler() == Finding("compiler", "info", detail)


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
    monkeypatch.setattr(trials, "find_spec", lambda name: spec)
    finding = trials.torch_build(card)
    assert finding.state == state
    assert words in finding.detail


def test_trials_run_in_a_child_and_report_what_it_raised() -> None:
    good = trials.trial("t", MATMUL, "bfloat16", "failure", None, "cpu")
    assert good == Finding("t", "ok", "works")
    bad = trials.trial("t", "raise ValueError('no {dtype}')", "float16", "warning", None)
    assert (bad.state, bad.detail) == ("warning", "ValueError: no float16")


def test_the_nf4_trial_passes_on_the_cpu() -> None:
    assert trials.trial("t", NF4, "bfloat16", "warning", None, "cpu").state == "ok"


def test_a_trial_that_hangs_or_dies_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "TRIAL_LIMIT_S", 1)
    slow = trials.trial("t", "import time; time.sleep(60)", "float16", "failure", None)
    assert (slow.state, slow.detail) == ("failure", "no answer within 1 s")
    dead = trials.trial("t", "import os; os.abort()", "float16", "failure", None)
    assert dead.detail == "the trial ended with code -6"


def test_trials_follow_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str, str, str | None]] = []

    def trial(check: str, code: str, dtype: str, worst: str, uuid: str | None) -> Finding:
        calls.append((code, dtype, worst, uuid))
        return Finding(check, "ok", "works")

    monkeypatch.setattr(trials, "trial", trial)
    build_ok = Finding("torch build", "ok", "for CUDA 12.8")
    assert len(list(trials.trials(CARD, build_ok))) == 3
    assert calls == [
        (MATMUL, "bfloat16", "failure", "GPU-1"),
        (NF4, "bfloat16", "warning", "GPU-1"),
        (VARLEN, "bfloat16", "warning", "GPU-1"),
    ]
    calls.clear()
    old = msgspec.structs.replace(CARD, compute_capability=(7, 5))
    names = [finding.check for finding in trials.trials(old, build_ok)]
    assert names == ["float16 on the card", "NF4 weights", "bfloat16", "varlen attention"]
    assert [dtype for _, dtype, _, _ in calls] == ["float16", "float16"]
    calls.clear()
    full = msgspec.structs.replace(CARD, free_bytes=2**29)
    (finding,) = trials.trials(full, build_ok)
    assert finding.detail == "not tried: only 0.5 GiB free on the card"
    (finding,) = trials.trials(CARD, Finding("torch build", "failure", "for the CPU"))
    assert finding.detail == "not tried: for the CPU"
    assert calls == []
