"""Builds a stand-in NVML and runs Python code against it, through the real binding."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, *flags: str) -> Path:
    """Compiles the library into ``folder``; skips the test where there is no C compiler.

    With ``-DOLD_DRIVER`` it lacks the functions that drivers before 510 lack.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a C compiler on Linux is needed to build the stand-in NVML")
    source, library = Path(__file__).with_name("nvml.c"), folder / "libnvidia-ml.so.1"
    strict = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *strict, *flags, "-o", library, source], check=True)
    return folder


def run(folder: Path, box: str, code: str, **environment: str) -> str:
    """What ``code`` prints in a fresh process on the pretended ``box``."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "KOCR_CONFIG", "KOCR_HOME")
    }
    clean |= {"LD_LIBRARY_PATH": str(folder), "FAKE_NVML": box, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
