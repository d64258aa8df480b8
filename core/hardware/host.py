"""What kind of system this is."""

import os
from pathlib import Path


def is_wsl(root: Path = Path("/")) -> bool:
    """Whether this is Linux inside Windows, where CUDA spills into host memory, never failing.

    Seen by the kernel's name, and by the device that WSL 2 reaches the GPU through, which a
    container inside WSL shows, too. ``root`` is the top of the file system to look at.
    """
    if (root / "dev/dxg").exists():
        return True
    try:
        release = (root / "proc/sys/kernel/osrelease").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "microsoft" in release.lower()


def memory_bytes() -> int:
    """The box's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
