"""The doctor on whole pretended boxes, through the real pynvml binding."""

from pathlib import Path

import msgspec
import pytest
from fake_nvml import build, run

from core.hardware.doctor import Finding

EXAMINE = (
    "import msgspec; from pathlib import Path; from core.hardware.doctor import examine;"
    "print(msgspec.json.encode(examine({arguments})).decode())"
)
FIRST_SLICE = "MIG-a1000000-0000-0000-0000-000000000005"
SECOND_SLICE = "MIG-a1000000-0000-0000-0000-000000000010"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def examine(library: Path, box: str, arguments: str = "", **environment: str) -> dict[str, Finding]:
    out = run(library, box, EXAMINE.format(arguments=arguments), **environment)
    findings = msgspec.json.decode(out, type=list[Finding])
    assert len({finding.check for finding in findings}) == len(findings)
    for finding in findings:
        assert "\n" not in finding.detail
        assert finding.detail
        assert finding.fix is not None or finding.state != "failure"
    return {finding.check: finding for finding in findings}


def test_a_box_with_a_4090_and_a_desktop(library: Path) -> None:
    found = examine(library, "desktop4090")
    detail = "NVIDIA GeForce RTX 4090, 23.2 GiB of 24.0 GiB free, drives a display"
    assert found["GPU"] == Finding("GPU", "ok", detail)
    assert found["driver"] == Finding("driver", "ok", "570.133.07, runs CUDA up to 12.8")
    assert found["profile"] == Finding("profile", "ok", "rtx4090: 23.5 GiB, 1.7 left free")
    assert found["other processes"] == Finding("other processes", "ok", "1700 Xorg (0.4 GiB)")
    assert found["MIG"] == Finding("MIG", "ok", "this card has none")
    assert found["throttling"].detail == "none (41 °C, 22 of 450 W, 210 of 3,105 MHz)"
    assert found["Xid errors"].state == "ok"
    assert found["not told"] == Finding("not told", "info", "by card and driver: ECC errors")
    assert found["Python"].state == "ok"
    assert "memory errors" not in found
    assert "WSL" not in found


def test_a_busy_card_with_tenants_that_is_too_hot(library: Path) -> None:
    found = examine(library, "busy4090")
    others = found["other processes"]
    assert others.state == "warning"
    assert "4242 python3.11 (9.0 GiB), 1700 Xorg (0.4 GiB), 999 ? (? GiB)" in others.detail
    assert others.fix == "kill 4242 999  (only if they are yours)"
    assert found["throttling"].state == "warning"
    assert found["throttling"].detail == (
        "power cap, hardware slowdown, too hot (hardware), reason 0x1000"
        " (88 °C, 449 of 450 W, 1,410 of 3,105 MHz)"
    )
    assert "memory of each process" in found["not told"].detail


def test_a_card_that_tells_little_is_examined_all_the_same(library: Path) -> None:
    found = examine(library, "bare")
    detail = "the driver does not tell; 0.1 GiB of memory are in use"
    assert found["other processes"] == Finding("other processes", "info", detail, "nvidia-smi")
    assert found["not told"].state == "info"
    assert "utilisation, temperature, power, power limit" in found["not told"].detail
    assert {"throttling", "memory errors", "Xid errors"}.isdisjoint(found)


def test_a_power_cap_is_information_and_memory_errors_are_a_warning(library: Path) -> None:
    first = examine(library, "two", CUDA_VISIBLE_DEVICES="0")
    assert first["throttling"].state == "info"
    assert first["throttling"].detail.startswith("power cap (35 °C, 52 of 400 W")
    assert first["memory errors"] == Finding("memory errors", "ok", "none uncorrected")
    second = examine(library, "two", CUDA_VISIBLE_DEVICES="1")
    assert second["memory errors"].state == "warning"
    assert second["memory errors"].detail == "3 uncorrected since the driver was loaded"


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


def test_hidden_and_lost_cards(library: Path) -> None:
    hidden = examine(library, "two", CUDA_VISIBLE_DEVICES="")["GPU"]
    assert hidden.fix == "unset CUDA_VISIBLE_DEVICES"
    lost = examine(library, "lost")
    assert lost["GPU"] == Finding("GPU", "failure", "GPU 0 no longer answers", "sudo reboot")
    assert {"profile", "MIG", "not told"}.isdisjoint(lost)


def test_several_kinds_of_card_are_counted_in_two_ways(library: Path) -> None:
    two = examine(library, "two", CUDA_VISIBLE_DEVICES="1")
    assert two["profile"].detail.startswith("a100-80gb")
    assert two["MIG"].detail == "off: the whole card is used"
    assert two["GPU order"].fix == "export CUDA_DEVICE_ORDER=PCI_BUS_ID"
    ordered = examine(library, "two", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert "GPU order" not in ordered


def test_a_cut_card_whose_slice_nobody_chose(library: Path) -> None:
    found = examine(library, "mig")
    assert found["MIG"] == Finding(
        "MIG",
        "warning",
        f"on, and CUDA takes the first slice of: {FIRST_SLICE} (4.8 GiB), {SECOND_SLICE} (9.6 GiB)",
        f"export CUDA_VISIBLE_DEVICES={FIRST_SLICE}",
    )
    assert "4.7 GiB of 4.8 GiB free" in found["GPU"].detail
    assert found["not told"].detail == "by card and driver: utilisation"


def test_a_slice_that_was_chosen_is_all_right(library: Path) -> None:
    found = examine(library, "mig", CUDA_VISIBLE_DEVICES=SECOND_SLICE)
    assert found["MIG"] == Finding("MIG", "ok", f"the slice {SECOND_SLICE} is used")
    assert found["other processes"].detail.endswith("4242 python3.11 (2.0 GiB)")


def test_mig_mode_without_slices_leaves_no_gpu(library: Path) -> None:
    found = examine(library, "uncut")
    detail = "no GPU: GPU 0 is in MIG mode and has no slices"
    assert found["GPU"] == Finding("GPU", "warning", detail, "sudo nvidia-smi -i 0 -mig 0")


def test_xid_errors_while_the_doctor_looks_are_a_failure(library: Path) -> None:
    code = """
import msgspec, pynvml
from core.hardware.doctor.gpu import xid_errors
from core.hardware.nvml import Monitor
with Monitor() as monitor:
    (card,) = monitor.cards()
    monitor.xid_errors(card.uuid)
    for code in (31, 31, 79):
        pynvml.nvmlLib.fake_nvml_xid(code)
    print(msgspec.json.encode(list(xid_errors(monitor, card))).decode())
"""
    (finding,) = msgspec.json.decode(run(library, "desktop4090", code), type=list[Finding])
    assert finding.state == "failure"
    assert finding.detail.endswith(": 31 (memory page fault), 79 (fallen off the bus)")


def test_linux_inside_windows(library: Path, tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").write_bytes(b"")
    found = examine(library, "bare", f"root=Path({str(tmp_path)!r})")
    assert found["WSL"].state == "warning"
    assert found["GPU"].state == "ok"
    none = examine(library, "not_loaded", f"root=Path({str(tmp_path)!r})")
    assert none["GPU"].fix == "update the NVIDIA driver in Windows, then: wsl --shutdown"


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


def test_the_disks_of_runs_and_features_are_looked_at(library: Path, tmp_path: Path) -> None:
    found = examine(library, "not_loaded", KOCR_HOME=str(tmp_path))
    assert found["disk"].detail.endswith(f"free for checkpoints in {tmp_path}/runs")
    elsewhere = examine(library, "not_loaded", f"Path({str(tmp_path / 'other')!r})")
    assert elsewhere["disk"].detail.endswith(f"free for checkpoints in {tmp_path}/other")
    assert "feature cache" in found


@pytest.mark.parametrize("box", ["desktop4090", "busy4090", "mig", "lost", "not_loaded"])
def test_the_command_marks_each_finding(library: Path, box: str) -> None:
    code = "import sys; from kocr_tui.cli import main; sys.exit(0 * main(['doctor']))"
    lines = run(library, box, code).splitlines()
    marks = {line[0] for line in lines}
    assert marks <= {*"✓·!✗ "}
    assert "·" in marks
    fixes = [line for line in lines if line.startswith(" ")]
    assert all(line.lstrip().startswith("→ ") for line in fixes)


def test_in_a_terminal_long_findings_are_folded_below_themselves(library: Path) -> None:
    code = """
import contextlib, io
from kocr_tui.cli import main

class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

with contextlib.redirect_stdout(Terminal()) as terminal:
    main(["doctor"])
print(terminal.getvalue())
"""
    lines = run(library, "busy4090", code, COLUMNS="80").splitlines()
    start = next(i for i, line in enumerate(lines) if "other processes" in line)
    indent = lines[start].index("they")
    assert lines[start + 1][:indent].strip() == ""
    assert lines[start + 1][indent] not in " →"
    folded = [line for line in lines if "→" not in line and "/" not in line]
    assert max(len(line) for line in folded) <= 80
    whole = run(library, "busy4090", code, COLUMNS="1000").splitlines()
    assert [line for line in lines if line[:1].strip()] != whole
    assert words_of(lines) == words_of(whole)


def words_of(lines: list[str]) -> list[str]:
    """The words, without the figures that move between two processes."""
    return [word for word in " ".join(lines).split() if not word.replace(".", "").isdigit()]


def test_a_locale_without_signs_gets_plain_ones(library: Path) -> None:
    code = "import sys; from kocr_tui.cli import main; sys.exit(0 * main(['doctor']))"
    lines = run(library, "busy4090", code, PYTHONIOENCODING="ascii").splitlines()
    assert {line[0] for line in lines} <= {*"+-!x "}
    assert any(line.lstrip().startswith("-> kill 4242") for line in lines)
    assert any("(88 ?C, 449 of 450 W" in line for line in lines)


def test_json_is_readable_in_any_locale(library: Path) -> None:
    code = "import sys; from kocr_tui.cli import main; sys.exit(0 * main(['doctor', '--json']))"
    out = run(library, "busy4090", code, PYTHONIOENCODING="ascii")
    found = {finding.check: finding for finding in msgspec.json.decode(out, type=list[Finding])}
    assert "(88 °C, 449 of 450 W" in found["throttling"].detail
