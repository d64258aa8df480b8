"""Python, the packages, and what a compiler would need."""

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from core.hardware.doctor.finding import Finding

DISTRIBUTION = "kocr-tui"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "textual")
COMPILERS = ("gcc", "clang", "nvcc")


def python() -> Finding:
    """The interpreter against what the installed metadata asks for."""
    version = platform.python_version()
    wanted = _metadata("Requires-Python")
    if wanted and not SpecifierSet(wanted[0]).contains(version, prereleases=True):
        detail = f"{version}, but {wanted[0]} is needed"
        return Finding("Python", "failure", detail, "python3.12 -m venv .venv")
    return Finding("Python", "ok", f"{version} at {sys.executable}")


def packages() -> Iterator[Finding]:
    """The packages' versions against what the installed metadata asks for."""
    requirements = [Requirement(line) for line in _metadata("Requires-Dist")]
    bounds = {one.name: one.specifier for one in requirements if one.marker is None}
    if not bounds:
        detail = f"{DISTRIBUTION} is not installed, so versions are not compared"
        yield Finding("installation", "warning", detail, "pip install -e .")
    for name in PACKAGES:
        bound = bounds.get(name, SpecifierSet())
        fix = f"pip install '{name}{bound}'"
        version = _version(name)
        if version is None:
            yield Finding(name, "failure", "not installed", fix)
        elif bound.contains(version, prereleases=True):
            yield Finding(name, "ok", version)
        else:
            yield Finding(name, "failure", f"{version}, but {bound} is needed", fix)


def compiler() -> Finding:
    """Compilers and Triton, which the training step does without."""
    triton = _version("triton")
    found = [name for name in COMPILERS if shutil.which(name)]
    listed = [f"Triton {triton}" if triton else "no Triton", *(found or ["no compiler"])]
    return Finding("compiler", "info", f"{', '.join(listed)}; training needs neither")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _metadata(field: str) -> list[str]:
    try:
        return metadata.metadata(DISTRIBUTION).get_all(field) or []
    except metadata.PackageNotFoundError:
        return []
