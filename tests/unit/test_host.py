"""Linux inside Windows told apart from Linux, on pretended file systems."""

from pathlib import Path

import pytest

from core.hardware.host import is_wsl


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("5.15.167.4-microsoft-standard-WSL2\n", True),
        ("4.4.0-19041-Microsoft\n", True),
        ("6.8.0-45-generic\n", False),
        (None, False),
    ],
)
def test_the_kernel_names_its_maker(tmp_path: Path, release: str | None, expected: bool) -> None:
    if release is not None:
        kernel = tmp_path / "proc/sys/kernel"
        kernel.mkdir(parents=True)
        (kernel / "osrelease").write_text(release)
    assert is_wsl(tmp_path) is expected


def test_the_device_of_wsl_is_enough(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").write_bytes(b"")
    assert is_wsl(tmp_path)
