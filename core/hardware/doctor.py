"""What this box can do, what is wrong with it, and what to type; torch runs in child processes."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from core.errors import UsageError
from core.hardware.nvml import Card, Monitor
from core.profile import BF16_CAPABILITY, GIB, pick_profile, user_folder
from core.run_dir import runs_folder

DISTRIBUTION = "kocr-tui"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "textual")
DISK_WARNING_GIB, DISK_FAILURE_GIB = 20, 2
RAM_WARNING_GIB = 8
TRIAL_FREE_GIB = 1
TRIAL_LIMIT_S = 90
MATMUL = """
import torch
left = torch.eye(64, dtype=torch.{dtype}, device="{device}")
assert torch.equal(left @ left, left), "a matrix product came out wrong"
"""
NF4 = """
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
weight = torch.linspace(-1, 1, 4096, dtype=torch.{dtype}, device="{device}").reshape(64, 64)
packed, state = quantize_4bit(weight, quant_type="nf4")
worst = (dequantize_4bit(packed, state) - weight).abs().max().item()
assert worst < 0.2, f"NF4 is off by {{worst}}"
"""
VARLEN = """
import torch
from torch.nn.attention.varlen import varlen_attn
rows = torch.randn(8, 2, 64, dtype=torch.{dtype}, device="{device}", requires_grad=True)
bounds = torch.tensor([0, 3, 8], dtype=torch.int32, device="{device}")
varlen_attn(rows, rows, rows, bounds, bounds, 5, 5).sum().backward()
assert rows.grad.isfinite().all().item(), "the gradient is not finite"
"""
State = Literal["ok", "warning", "failure"]


class Finding(msgspec.Struct, frozen=True):
    """One check: what was seen, and, unless all is well, what to type."""

    check: str
    state: State
    detail: str
    fix: str | None = None


def examine(runs: Path | None = None) -> list[Finding]:
    """Every check, in the order of a reader's interest; raises nothing.

    ``runs`` is the folder that the runs go to, the usual one unless given. Takes a second
    without a card; with one, up to ``TRIAL_LIMIT_S`` seconds for each of three trials, in
    which a child process uses the card.
    """
    with Monitor() as monitor:
        visible = monitor.visible()
        card = visible[0] if visible and not visible[0].lost else None
        build = _torch_build(card)
        return [
            *_gpu(monitor, visible),
            *(_neighbours(monitor, card) if card else ()),
            _python(),
            *_packages(),
            build,
            *_trials(card, build),
            _disk(runs or runs_folder()),
            _ram(Path("/")),
            _logout(Path("/")),
            *_terminal(),
        ]


def _gpu(monitor: Monitor, visible: list[Card]) -> Iterator[Finding]:
    if monitor.reason is not None:
        yield Finding("GPU", "warning", f"no GPU: {monitor.reason}", monitor.remedy)
        return
    if not visible:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is None:
            yield Finding("GPU", "warning", "no GPU: the driver lists none", "nvidia-smi -L")
        else:
            detail = f"CUDA_VISIBLE_DEVICES={hidden!r} shows no card"
            yield Finding("GPU", "warning", detail, "unset CUDA_VISIBLE_DEVICES")
        return
    card = visible[0]
    if card.lost:
        yield Finding("GPU", "failure", f"GPU {card.index} no longer answers", "sudo reboot")
        return
    yield Finding(
        "GPU",
        "ok",
        f"{card.name}, {_gib(card.free_bytes)} of {_gib(card.total_bytes)} free,"
        f" driver {card.driver_version or '?'} (CUDA {card.cuda_version or '?'})",
    )
    yield _profile(card)
    ordered = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if len({other.name for other in monitor.cards()}) > 1 and not ordered:
        detail = "several kinds of card, and CUDA counts them differently from nvidia-smi"
        yield Finding("GPU order", "warning", detail, "export CUDA_DEVICE_ORDER=PCI_BUS_ID")


def _profile(card: Card) -> Finding:
    try:
        profile = pick_profile(card)
    except UsageError as error:
        return Finding("profile", "failure", str(error), f"ls {user_folder()}")
    if profile.name == "detected":
        detail = f"none knows {card.name}: a cautious one of {profile.memory_gib} GiB is used"
        return Finding("profile", "warning", detail, f"describe it in {user_folder()}/NAME.toml")
    detail = f"{profile.name}: {profile.memory_gib} GiB, {profile.headroom_gib} left free"
    return Finding("profile", "ok", detail)


def _neighbours(monitor: Monitor, card: Card) -> Iterator[Finding]:
    others = [one for one in monitor.processes(card.uuid or "") if one.pid != os.getpid()]
    if not others:
        yield Finding("other processes", "ok", "none on the card")
        return
    listed = ", ".join(
        f"{one.pid} {Path(one.name).name if one.name else '?'} ({_gib(one.used_bytes)})"
        for one in others
    )
    heavy = [one for one in others if one.used_bytes is None or one.used_bytes > GIB]
    if heavy:
        fix = "kill " + " ".join(str(one.pid) for one in heavy) + "  (only if they are yours)"
        yield Finding("other processes", "warning", f"they leave less memory: {listed}", fix)
    else:
        yield Finding("other processes", "ok", listed)


def _python() -> Finding:
    version = platform.python_version()
    wanted = _metadata("Requires-Python")
    if wanted and not SpecifierSet(wanted[0]).contains(version, prereleases=True):
        detail = f"{version}, but {wanted[0]} is needed"
        return Finding("Python", "failure", detail, "python3.12 -m venv .venv")
    return Finding("Python", "ok", f"{version} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    requirements = [Requirement(line) for line in _metadata("Requires-Dist")]
    bounds = {one.name: one.specifier for one in requirements if one.marker is None}
    if not bounds:
        detail = f"{DISTRIBUTION} is not installed, so versions are not compared"
        yield Finding("installation", "warning", detail, "pip install -e .")
    for name in PACKAGES:
        bound = bounds.get(name, SpecifierSet())
        fix = f"pip install '{name}{bound}'"
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "failure", "not installed", fix)
            continue
        if bound.contains(version, prereleases=True):
            yield Finding(name, "ok", version)
        else:
            yield Finding(name, "failure", f"{version}, but {bound} is needed", fix)


def _torch_build(card: Card | None) -> Finding:
    """The build without importing torch: its version file names the CUDA it was built for."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return Finding("torch build", "failure", "torch is not installed", "pip install torch")
    text = _text(Path(spec.origin).parent / "version.py")
    match = re.search(r"^cuda\b[^=\n]*=\s*'([\d.]+)'", text, re.MULTILINE)
    if match is None:
        if card is None:
            return Finding("torch build", "ok", "for the CPU")
        detail = f"torch was built for the CPU and cannot use the {card.name}"
        return Finding("torch build", "failure", detail, "pip install --force-reinstall torch")
    built = match[1]
    driver = card.cuda_version if card else None
    if driver and int(driver.split(".")[0]) < int(built.split(".")[0]):
        detail = f"for CUDA {built}, but the driver runs CUDA {driver} at most"
        return Finding("torch build", "failure", detail, "update the NVIDIA driver")
    return Finding("torch build", "ok", f"for CUDA {built}")


def _trials(card: Card | None, build: Finding) -> Iterator[Finding]:
    if card is None:
        yield Finding("GPU trials", "warning", "no GPU: dtypes, NF4 and varlen were not tried")
        return
    if build.state == "failure":
        yield Finding("GPU trials", "warning", f"not tried: {build.detail}", build.fix)
        return
    if card.free_bytes is not None and card.free_bytes < TRIAL_FREE_GIB * GIB:
        detail = f"not tried: only {_gib(card.free_bytes)} free on the card"
        yield Finding("GPU trials", "warning", detail, "nvidia-smi")
        return
    new = (card.compute_capability or (0, 0)) >= BF16_CAPABILITY
    dtype = "bfloat16" if new else "float16"
    yield _trial(f"{dtype} on the card", MATMUL, dtype, "failure", card.uuid)
    yield _trial("NF4 weights", NF4, dtype, "warning", card.uuid)
    if new:
        yield _trial("varlen attention", VARLEN, dtype, "warning", card.uuid)
    else:
        detail = "needs compute capability 8.0; masked attention is used instead"
        yield Finding("varlen attention", "ok", detail)


def _trial(
    check: str, code: str, dtype: str, worst: State, uuid: str | None, device: str = "cuda"
) -> Finding:
    """Runs ``code`` in a child, since a broken CUDA set-up can hang or crash a process."""
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": uuid} if uuid else {})
    command = [sys.executable, "-P", "-c", code.format(dtype=dtype, device=device)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"no answer within {TRIAL_LIMIT_S} s"
        return Finding(check, worst, detail, "nvidia-smi")
    if done.returncode == 0:
        return Finding(check, "ok", "works")
    raised = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", done.stderr, re.MULTILINE)
    detail = raised[-1] if raised else f"the trial ended with code {done.returncode}"
    return Finding(check, worst, detail, f"{sys.executable} -m torch.utils.collect_env")


def _disk(runs: Path) -> Finding:
    folder = runs.absolute()
    while not os.access(folder, os.F_OK):
        folder = folder.parent
    fix = "export KOCR_HOME=/a/larger/disk"
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return Finding("disk", "failure", f"{folder} cannot be written to", fix)
    free = shutil.disk_usage(folder).free
    detail = f"{_gib(free)} free for runs at {runs}"
    if free < DISK_FAILURE_GIB * GIB:
        return Finding("disk", "failure", detail, fix)
    if free < DISK_WARNING_GIB * GIB:
        return Finding("disk", "warning", detail, fix)
    return Finding("disk", "ok", detail)


def _ram(root: Path) -> Finding:
    """Free memory of the machine, or of the container where its limit is tighter."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if available is None:
        return Finding("RAM", "warning", "/proc/meminfo does not tell the free memory")
    free = int(available[1]) * 1024
    group = root / "sys/fs/cgroup"
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        cached = re.search(r"^inactive_file (\d+)", _text(group / "memory.stat"), re.MULTILINE)
        free = min(free, int(limit) - int(used) + (int(cached[1]) if cached else 0))
    if free < RAM_WARNING_GIB * GIB:
        detail = f"{_gib(free)} free: loading a model may swap or be killed"
        return Finding("RAM", "warning", detail, "free -h")
    return Finding("RAM", "ok", f"{_gib(free)} free")


def _logout(root: Path) -> Finding:
    """Whether logind ends a run when its user's last SSH session closes."""
    check = "after logout"
    if not (root / "run/systemd/system").is_dir():
        return Finding(check, "ok", "no systemd here, so nothing ends runs at logout")
    answer = _loginctl("KillUserProcesses")
    kills = answer == "yes" if answer else _configured_to_kill(root)
    if not kills or os.getuid() == 0:
        return Finding(check, "ok", "runs go on (KillUserProcesses=no, or you are root)")
    scope = "systemd-run --user --scope kocr-tui"
    linger = _loginctl("Linger", str(os.getuid())) == "yes"
    detail = "KillUserProcesses=yes: runs end when you log out unless they run in their own scope"
    fix = scope if linger else f"sudo loginctl enable-linger $USER && {scope}"
    return Finding(check, "warning", detail, fix)


def _configured_to_kill(root: Path) -> bool:
    """KillUserProcesses as logind.conf(5) resolves it; distributions build it with "no"."""
    folders = [root / name for name in ("usr/lib/systemd", "run/systemd", "etc/systemd")]
    mains = [folder / "logind.conf" for folder in folders if (folder / "logind.conf").is_file()]
    drop_ins = {file.name: file for one in folders for file in one.glob("logind.conf.d/*.conf")}
    texts = [_text(file) for file in (*mains[-1:], *(drop_ins[name] for name in sorted(drop_ins)))]
    values = re.findall(r"^\s*KillUserProcesses\s*=\s*(\w+)", "\n".join(texts), re.MULTILINE)
    return bool(values) and values[-1].lower() in ("yes", "true", "on", "1", "y", "t")


def _loginctl(key: str, *user: str) -> str:
    """A property of logind, or of ``user``; empty where it does not answer."""
    command = ["loginctl", "show-user", *user, "--value", f"--property={key}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _terminal() -> Iterator[Finding]:
    kind = os.environ.get("TERM", "")
    inside = ", in tmux" if os.environ.get("TMUX") else ""
    try:
        columns, rows = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
    except (OSError, ValueError):
        yield Finding("terminal", "ok", "output is not a terminal, so the console cannot open here")
    else:
        detail = f"{kind or 'TERM is not set'}, {columns}x{rows}{inside}"
        if kind in ("", "dumb", "unknown"):
            yield Finding("terminal", "failure", detail, "export TERM=xterm-256color")
        elif columns < 80 or rows < 24:
            yield Finding("terminal", "warning", f"{detail}: 80x24 is needed", "enlarge the window")
        else:
            yield Finding("terminal", "ok", detail)
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, names), "")
    if re.search(r"utf-?8", locale, re.IGNORECASE):
        yield Finding("locale", "ok", locale)
    else:
        detail = f"{locale or 'not set'}: Korean may show as question marks"
        yield Finding("locale", "warning", detail, "export LC_ALL=C.UTF-8")


def _metadata(field: str) -> list[str]:
    try:
        return metadata.metadata(DISTRIBUTION).get_all(field) or []
    except metadata.PackageNotFoundError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _gib(size: int | None) -> str:
    return "? GiB" if size is None else f"{size / GIB:.1f} GiB"
