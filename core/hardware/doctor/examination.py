"""All checks, in the order of a reader's interest."""

from pathlib import Path

from core.config import TrainConfig
from core.hardware.doctor.box import disk, feature_disk, logout, ram, wsl
from core.hardware.doctor.finding import Finding
from core.hardware.doctor.gpu import gpu, untold, xid_errors
from core.hardware.doctor.software import compiler, packages, python
from core.hardware.doctor.terminal import terminal
from core.hardware.doctor.tmux import tmux
from core.hardware.doctor.trials import torch_build, trials
from core.hardware.host import is_wsl
from core.hardware.nvml import Card, Monitor
from core.run_dir import home, runs_folder


def examine(runs: Path | None = None, root: Path = Path("/")) -> list[Finding]:
    """Every check, in the order of a reader's interest; raises nothing.

    ``runs`` is the folder that the runs go to, the usual one unless given; ``root`` is the top
    of the file system that the machine is read from. Takes a second without a card; with one,
    up to ``TRIAL_LIMIT_S`` seconds for each of three trials, in which a child process uses the
    card.
    """
    inside_windows = is_wsl(root)
    with Monitor() as monitor:
        visible = monitor.visible()
        card = visible[0] if visible and not visible[0].lost else None
        return [
            *gpu(monitor, visible, inside_windows),
            *wsl(inside_windows),
            *_software(monitor, card),
            *_box(runs or runs_folder(), root),
            *terminal(),
            *tmux(),
            *(untold(monitor, card) if card else ()),
        ]


def _software(monitor: Monitor, card: Card | None) -> list[Finding]:
    """Python, packages and trials; Xid errors are listened for while the trials run."""
    if card is not None:
        monitor.xid_errors(card.uuid or "")
    build = torch_build(card)
    return [
        python(),
        *packages(),
        compiler(),
        build,
        *trials(card, build),
        *(xid_errors(monitor, card) if card else ()),
    ]


def _box(runs: Path, root: Path) -> list[Finding]:
    features = home() / "cache" / "features"
    return [
        disk(runs),
        feature_disk(features, runs, TrainConfig().feature_cache_gib),
        ram(root),
        logout(root),
    ]
