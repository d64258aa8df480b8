"""The machine around the card: disks, memory, logging out, and Windows."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.hardware.doctor.finding import Finding, gib, text
from core.login import loginctl
from core.profile import GIB

DISK_WARNING_GIB, DISK_FAILURE_GIB = 20, 2
RAM_WARNING_GIB = 8
_LARGER = "export KOCR_HOME=/a/larger/disk"


def disk(runs: Path) -> Finding:
    """Room for the checkpoints in ``runs``."""
    folder = _nearest(runs)
    if folder is None:
        return Finding("disk", "failure", f"{runs} cannot be written to", _LARGER)
    free = shutil.disk_usage(folder).free
    detail = f"{gib(free)} free for checkpoints in {runs}"
    if free < DISK_FAILURE_GIB * GIB:
        return Finding("disk", "failure", detail, _LARGER)
    if free < DISK_WARNING_GIB * GIB:
        return Finding("disk", "warning", detail, _LARGER)
    return Finding("disk", "ok", detail)


def feature_disk(features: Path, runs: Path, wanted_gib: float) -> Finding:
    """Room for the image features in ``features``, without which every epoch computes them."""
    check, folder = "feature cache", _nearest(features)
    without = "without it every epoch computes image features anew"
    if folder is None:
        detail = f"{features} cannot be written to: {without}"
        return Finding(check, "warning", detail, _LARGER)
    free = shutil.disk_usage(folder).free
    runs_folder = _nearest(runs)
    same = runs_folder is not None and runs_folder.stat().st_dev == folder.stat().st_dev
    where = "on the same disk" if same else f"in {features}"
    if free < wanted_gib * GIB:
        detail = f"{gib(free)} free {where}, {wanted_gib:g} GiB may be needed: {without}"
        return Finding(check, "warning", detail, _LARGER)
    return Finding(check, "ok", f"{gib(free)} free {where}")


def _nearest(folder: Path) -> Path | None:
    """The folder, or the one it would be made in; None where it can't be made or written to."""
    folder = folder.absolute()
    while not os.access(folder, os.F_OK):
        folder = folder.parent
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def ram(root: Path) -> Finding:
    """Free memory of the machine, or of the container where its limit is tighter."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    if available is None:
        return Finding("RAM", "warning", "/proc/meminfo does not tell the free memory")
    free = int(available[1]) * 1024
    group = root / "sys/fs/cgroup"
    limit, used = text(group / "memory.max").strip(), text(group / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        cached = re.search(r"^inactive_file (\d+)", text(group / "memory.stat"), re.MULTILINE)
        free = min(free, int(limit) - int(used) + (int(cached[1]) if cached else 0))
    if free < RAM_WARNING_GIB * GIB:
        detail = f"{gib(free)} free: loading a model may swap or be killed"
        return Finding("RAM", "warning", detail, "free -h")
    return Finding("RAM", "ok", f"{gib(free)} free")


def wsl(inside: bool) -> Iterator[Finding]:
    """What Windows does with the card's memory, where this is Linux ``inside`` it."""
    if inside:
        detail = (
            "Windows moves GPU memory into host memory instead of failing: what does not fit"
            " gets slow, so nothing beyond the budget is ever tried"
        )
        fix = "keep other programs off the card; nvidia-smi.exe shows who uses it"
        yield Finding("WSL", "warning", detail, fix)


def logout(root: Path) -> Finding:
    """Whether logind ends a run when its user's last SSH session closes."""
    check = "after logout"
    if not (root / "run/systemd/system").is_dir():
        return Finding(check, "ok", "no systemd here, so nothing ends runs at logout")
    answer = loginctl("KillUserProcesses")
    kills = answer == "yes" if answer else configured_to_kill(root)
    if not kills or os.getuid() == 0:
        return Finding(check, "ok", "runs go on (KillUserProcesses=no, or you are root)")
    if loginctl("Linger", str(os.getuid())) != "yes":
        detail = "KillUserProcesses=yes: runs end when you log out, since you don't linger"
        return Finding(check, "warning", detail, "sudo loginctl enable-linger $USER")
    if shutil.which("systemd-run") is None:
        detail = "KillUserProcesses=yes, and there is no systemd-run: runs end when you log out"
        return Finding(check, "warning", detail, "tmux, started as a service of your own")
    detail = "runs go on in systemd scopes of their own (KillUserProcesses=yes, you linger)"
    return Finding(check, "ok", detail)


def configured_to_kill(root: Path) -> bool:
    """KillUserProcesses as logind.conf(5) resolves it; distributions build it with "no"."""
    folders = [root / name for name in ("usr/lib/systemd", "run/systemd", "etc/systemd")]
    mains = [folder / "logind.conf" for folder in folders if (folder / "logind.conf").is_file()]
    drop_ins = {file.name: file for one in folders for file in one.glob("logind.conf.d/*.conf")}
    texts = [text(file) for file in (*mains[-1:], *(drop_ins[name] for name in sorted(drop_ins)))]
    values = re.findall(r"^\s*KillUserProcesses\s*=\s*(\w+)", "\n".join(texts), re.MULTILINE)
    return bool(values) and values[-1].lower() in ("yes", "true", "on", "1", "y", "t")
